// Behaviour shared by all pages, attached to data-* attributes.

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.metaKey && !event.ctrlKey) {
    const search = document.querySelector("[data-search]");
    if (search) {
      event.preventDefault();
      search.focus();
    }
  }
});

for (const toast of document.querySelectorAll("[data-toast]")) {
  if (!toast.matches(".toast--error, .toast--warning")) {
    setTimeout(() => toast.remove(), toast.querySelector("form") ? 15000 : 6000);
  }
  toast.addEventListener("click", (event) => {
    if (!event.target.closest("form, a, code, input")) {
      toast.remove();
    }
  });
}

// "More" on a phone: open and shut by the address's #more, so that it works without this script as well.
const menu = document.querySelector("[data-menu]");
if (menu) {
  const show = () => menu.setAttribute("aria-expanded", String(location.hash === "#more"));
  menu.setAttribute("aria-controls", "more");
  menu.addEventListener("click", (event) => {
    if (location.hash === "#more") {
      event.preventDefault();
      location.hash = "#menu";
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && location.hash === "#more") {
      location.hash = "#menu";
      menu.focus();
    }
  });
  window.addEventListener("hashchange", show);
  show();
}

// Whoever has changed a form and leaves the page is asked first.
let unsaved = null;
document.addEventListener("input", (event) => {
  const form = event.target.form;
  if (form?.method === "post" && form.querySelector(".form-actions") && !form.closest("dialog")) {
    unsaved = form;
  }
});
document.addEventListener("submit", () => {
  unsaved = null;
});
window.addEventListener("beforeunload", (event) => {
  if (unsaved?.isConnected) {
    event.preventDefault();
  }
});

for (const select of document.querySelectorAll("[data-submit-on-change]")) {
  select.addEventListener("change", () => select.form.requestSubmit());
}

for (const element of document.querySelectorAll("[data-hide-with-script]")) {
  element.hidden = true;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-confirm]");
  if (button && !window.confirm(button.dataset.confirm)) {
    event.preventDefault();
  }
});

function showCheckAll() {
  for (const all of document.querySelectorAll("[data-check-all]")) {
    all.hidden = false;
  }
}
showCheckAll();
document.addEventListener("htmx:afterSwap", showCheckAll);

document.addEventListener("change", (event) => {
  const all = event.target.closest("[data-check-all]");
  const bulk = event.target.closest("form.bulk");
  if (all) {
    for (const box of all.form.querySelectorAll(`input[name="${all.dataset.checkAll}"]`)) {
      box.checked = all.checked;
    }
  }
  if (bulk?.querySelector('input[name="contact"]:checked')) {
    bulk.querySelector(".bulk__bar").open = true;
  }
});

// A table wider than its place is scrolled by keyboard as well, once it can have the focus.
const showScrollers = () => {
  for (const wrap of document.querySelectorAll(".table-wrap:not([tabindex])")) {
    const scrolls = wrap.scrollWidth > wrap.clientWidth && !wrap.querySelector("a, button, input, select, summary");
    if (scrolls) {
      wrap.tabIndex = 0;
      wrap.setAttribute("role", "region");
      wrap.setAttribute("aria-label", wrap.closest("section")?.querySelector("h2")?.textContent || document.title);
    }
  }
};
document.addEventListener("htmx:afterSwap", showScrollers);
window.addEventListener("resize", showScrollers);
showScrollers();
