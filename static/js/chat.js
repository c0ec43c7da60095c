// An answer that is being written appears word by word; when it is whole, the server's rendering takes its place.

for (const item of document.querySelectorAll("[data-stream]")) {
  follow(item);
}

function follow(item) {
  const text = item.querySelector("[data-text]");
  const tools = item.querySelector("[data-tools]");
  const source = new EventSource(item.dataset.stream);
  let said = "";
  source.addEventListener("agent", (event) => {
    item.querySelector("[data-name]").textContent = JSON.parse(event.data).name;
  });
  source.addEventListener("text", (event) => {
    said += JSON.parse(event.data).text;
    text.textContent = said;
  });
  source.addEventListener("tool", (event) => {
    tools.hidden = false;
    tools.textContent = `Uses ${JSON.parse(event.data).name} …`;
  });
  source.addEventListener("end", () => {
    source.close();
    replace(item);
  });
}

async function replace(item) {
  const answer = await fetch(item.dataset.whole);
  if (!answer.ok) {
    return;
  }
  const holder = document.createElement("template");
  holder.innerHTML = await answer.text();
  const whole = holder.content.querySelector("li");
  item.replaceWith(whole);
  window.htmx?.process(whole);
  if (whole.dataset.stream) {
    setTimeout(() => follow(whole), 1000);
  }
}

for (const box of document.querySelectorAll("[data-send-on-enter]")) {
  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing && box.value.trim()) {
      event.preventDefault();
      box.form.requestSubmit();
    }
  });
}

document.querySelector("#last")?.scrollIntoView({ block: "center" });
