// Buttons that copy the text of a read-only field: data-copy names the field. Without a script one selects it by hand.

const SAYS_SO_MS = 2000;

function show() {
  for (const button of document.querySelectorAll("[data-copy][hidden]")) {
    button.hidden = false;
  }
}
show();
document.addEventListener("htmx:afterSettle", show);

async function copy(field) {
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    return true;
  } catch {
    // No permission, or not a secure page: the old way, which copies what is selected.
    return document.execCommand("copy");
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  const field = button && document.getElementById(button.dataset.copy);
  if (field) {
    button.textContent = (await copy(field)) ? "Copied" : "Selected";
    setTimeout(() => (button.textContent = "Copy"), SAYS_SO_MS);
  }
});

document.addEventListener("focusin", (event) => {
  if (event.target.matches(".copy__text")) {
    event.target.select();
  }
});
