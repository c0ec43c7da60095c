// Puts a variable where the cursor was last, in the subject or one of the texts.

let target = document.querySelector("textarea[data-code]");

for (const button of document.querySelectorAll("[data-insert]")) {
  button.hidden = false;
}

document.addEventListener("focusin", (event) => {
  if (event.target.matches("[data-code]")) {
    target = event.target;
  }
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-insert]");
  if (!button || !target) {
    return;
  }
  target.focus();
  target.setRangeText(button.dataset.insert, target.selectionStart, target.selectionEnd, "end");
  target.dispatchEvent(new Event("input", { bubbles: true }));
});
