// A list of questions with answers grows by one when asked to.

const list = document.querySelector("[data-pairs]");
const add = document.querySelector("[data-add-pair]");
if (list && add) {
  add.hidden = false;
  add.addEventListener("click", () => {
    const number = list.children.length + 1;
    const pair = list.lastElementChild.cloneNode(true);
    pair.querySelector("legend").textContent = `Question ${number}`;
    for (const field of pair.querySelectorAll("input, textarea")) {
      field.value = "";
      field.id = `${field.id[0]}${number}`;
    }
    for (const label of pair.querySelectorAll("label")) {
      label.htmlFor = `${label.htmlFor[0]}${number}`;
    }
    list.append(pair);
    pair.querySelector("input").focus();
  });
}
