// A call's page while the call runs: entries come over a WebSocket, already drawn by the server.

const holder = document.querySelector("[data-live-call]");
const lists = { message: document.querySelector("#transcript"), event: document.querySelector("#events") };
let pause = 500;

function add(list, html, sequence) {
  if (!list || list.querySelector(`[data-sequence="${sequence}"]`)) {
    return;
  }
  const item = document.createRange().createContextualFragment(html).firstElementChild;
  const later = [...list.children].find((other) => Number(other.dataset.sequence) > sequence);
  list.insertBefore(item, later ?? null);
  item.scrollIntoView({ block: "nearest", behavior: "smooth" });
}

function showLatency(sequence, milliseconds) {
  const line = lists.message?.querySelector(`[data-sequence="${sequence}"] [data-latency]`);
  if (line && milliseconds !== null && milliseconds !== undefined) {
    const text = milliseconds < 1000 ? `${milliseconds} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
    line.querySelector("span").textContent = `answered after ${text}`;
    line.hidden = false;
  }
}

// The caller interrupted a sentence: strike out what they did not hear of it, whole words only.
function showHeard(sequence, share) {
  const item = lists.message?.querySelector(`[data-sequence="${sequence}"]`);
  const heard = item?.querySelector("[data-heard]");
  if (!heard || item.querySelector("[data-unheard]")) {
    return;
  }
  const text = heard.textContent;
  const end = Math.round(text.length * share);
  const cut = end < text.length && text.includes(" ") ? Math.max(text.lastIndexOf(" ", end), 0) : end;
  if (cut >= text.length) {
    return;
  }
  const unheard = document.createElement("s");
  unheard.dataset.unheard = "";
  unheard.textContent = text.slice(cut).trimStart();
  heard.textContent = text.slice(0, cut).trimEnd();
  heard.after(" ", unheard);
  item.querySelector("[data-interrupted]").hidden = false;
}

async function refreshHead() {
  const url = holder.dataset.statusUrl;
  if (!url) {
    return;
  }
  const response = await fetch(url, { headers: { "HX-Request": "true" } });
  if (response.ok) {
    const head = document.createRange().createContextualFragment(await response.text()).firstElementChild;
    const typed = holder.querySelector(".say input[name=text]")?.value;
    if (typed && head.dataset.open === "yes") {
      return; // somebody is writing, and the call goes on: what they wrote is worth more than a fresh badge
    }
    holder.replaceChildren(head);
    window.htmx?.process(head);
  }
}

function isOver() {
  return holder.querySelector('[data-open="no"]') !== null;
}

function connect() {
  const scheme = window.location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${window.location.host}${holder.dataset.liveCall}`);
  socket.addEventListener("open", () => {
    pause = 500;
  });
  socket.addEventListener("message", (message) => {
    const entry = JSON.parse(message.data);
    if (entry.kind === "latency") {
      showLatency(entry.sequence, entry.total_ms);
    } else if (entry.kind === "heard") {
      showHeard(entry.sequence, entry.share);
    } else if (entry.kind === "status") {
      refreshHead();
    } else {
      add(lists[entry.kind], entry.html, entry.sequence);
      const empty = document.querySelector("#no-words");
      if (entry.kind === "message" && empty) {
        empty.hidden = true;
      }
    }
  });
  socket.addEventListener("close", () => {
    if (!isOver()) {
      setTimeout(connect, pause);
      pause = Math.min(pause * 2, 10000);
    }
  });
}

if (holder) {
  connect();
}
