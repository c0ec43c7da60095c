// A telephone in the page: speaks the carrier's Media Streams protocol to the same socket the carrier uses.

const panel = document.querySelector("[data-phone]");
const parameters = JSON.parse(document.querySelector("#stream-parameters").textContent);
const state = panel.querySelector("[data-phone-state] span");
const meter = panel.querySelector("[data-phone-meter]");
const muteButton = panel.querySelector("[data-phone-mute]");
const hangUpButton = panel.querySelector("[data-phone-hang-up]");
const typeForm = panel.querySelector("[data-phone-type]");
const errorLine = panel.querySelector("[data-phone-error]");
const streamSid = `MZ${crypto.randomUUID().replaceAll("-", "")}`;
const SILENT_FRAME = new Uint8Array(160).fill(0xff);

let socket;
let context;
let node;
let chunk = 0;
let sequence = 0;
let silence;

function toBase64(bytes) {
  return btoa(String.fromCharCode(...bytes));
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

function send(message) {
  if (socket.readyState === WebSocket.OPEN) {
    sequence += 1;
    socket.send(JSON.stringify({ ...message, streamSid, sequenceNumber: String(sequence) }));
  }
}

function sendFrame(bytes) {
  chunk += 1;
  const media = { track: "inbound", chunk: String(chunk), timestamp: String((chunk - 1) * 20), payload: toBase64(bytes) };
  send({ event: "media", media });
}

function showError(text) {
  errorLine.textContent = text;
  errorLine.hidden = false;
}

function showLevel(bytes) {
  const loud = bytes.reduce((sum, byte) => sum + (0x7f - (byte & 0x7f)), 0) / bytes.length / 100;
  meter.style.setProperty("--level", Math.min(1, loud).toFixed(2));
}

function start() {
  socket.send(JSON.stringify({ event: "connected", protocol: "Call", version: "1.0.0" }));
  const customParameters = { [parameters.parameter]: parameters.token };
  const mediaFormat = { encoding: "audio/x-mulaw", sampleRate: 8000, channels: 1 };
  const body = { streamSid, callSid: parameters.call_sid, tracks: ["inbound"], mediaFormat, customParameters };
  send({ event: "start", start: body });
  state.textContent = "Connected";
}

function receive(event) {
  const message = JSON.parse(event.data);
  if (message.event === "media") {
    const bytes = fromBase64(message.media.payload);
    showLevel(bytes);
    node?.port.postMessage({ audio: bytes });
  } else if (message.event === "mark") {
    if (node) {
      node.port.postMessage({ mark: message.mark.name });
    } else {
      send({ event: "mark", mark: message.mark });
    }
  } else if (message.event === "clear") {
    node?.port.postMessage({ clear: true });
  }
}

function end() {
  state.textContent = "The call has ended";
  clearInterval(silence);
  context?.close();
  for (const control of panel.querySelectorAll("button, input")) {
    control.disabled = true;
  }
  const done = document.querySelector("[data-done-url]")?.dataset.doneUrl;
  if (done) {
    setTimeout(() => window.location.assign(done), 2500);
  }
}

async function openAudio() {
  context = new AudioContext();
  await context.audioWorklet.addModule(panel.dataset.worklet);
  node = new AudioWorkletNode(context, "phone", { numberOfInputs: 1, numberOfOutputs: 1, outputChannelCount: [1] });
  node.port.onmessage = ({ data }) => {
    if (data.frame) {
      sendFrame(data.frame);
    } else if (data.mark) {
      send({ event: "mark", mark: { name: data.mark } });
    }
  };
  node.connect(context.destination);
  context.addEventListener("statechange", keepTheLineAlive);
  context.resume();
  keepTheLineAlive();
}

// Some browsers start sound only after a touch or click. Until then the line still needs frames.
function keepTheLineAlive() {
  clearInterval(silence);
  if (context.state !== "running") {
    silence = setInterval(() => sendFrame(SILENT_FRAME), 20);
    document.addEventListener("click", () => context.resume(), { once: true });
  }
}

async function useMicrophone() {
  try {
    const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true };
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    context.createMediaStreamSource(stream).connect(node);
    node.port.postMessage({ muted: false });
    muteButton.setAttribute("aria-pressed", "true");
    muteButton.querySelector("span").textContent = "Mute";
  } catch {
    showError("The microphone cannot be used. Type what you would say instead.");
  }
}

let hasMicrophone = false;

muteButton.addEventListener("click", async () => {
  if (!hasMicrophone) {
    hasMicrophone = true;
    await useMicrophone();
    return;
  }
  const muted = muteButton.getAttribute("aria-pressed") === "true";
  node.port.postMessage({ muted });
  muteButton.setAttribute("aria-pressed", String(!muted));
  muteButton.querySelector("span").textContent = muted ? "Unmute" : "Mute";
});

hangUpButton.addEventListener("click", () => {
  send({ event: "stop", stop: { callSid: parameters.call_sid } });
  socket.close();
});

typeForm.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = typeForm.elements.text.value.trim();
  if (!text) {
    return;
  }
  errorLine.hidden = true;
  node?.port.postMessage({ clear: true });
  const response = await fetch(typeForm.action, { method: "POST", body: new FormData(typeForm) });
  if (response.ok) {
    typeForm.elements.text.value = "";
  } else {
    showError((await response.json()).error);
  }
});

async function call() {
  const scheme = window.location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${window.location.host}${parameters.path}`);
  socket.addEventListener("open", start);
  socket.addEventListener("message", receive);
  socket.addEventListener("close", end);
  try {
    await openAudio();
  } catch {
    node = undefined;
    // Without sound the line still needs frames: the agent's provider gives up on a silent socket.
    silence = setInterval(() => sendFrame(SILENT_FRAME), 20);
    muteButton.disabled = true;
    showError("This browser gives no sound. Type what you would say, and read the answers below.");
  }
}

call();
