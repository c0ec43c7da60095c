// The second yardstick: the same bridge on Node and `ws`, one process.   node bridge.js PORT AGENT_URL
"use strict";
const { WebSocket, WebSocketServer } = require("ws");

const [port, agentUrl] = process.argv.slice(2);
const settings = JSON.stringify({
  type: "Settings",
  audio: {
    input: { encoding: "mulaw", sample_rate: 8000 },
    output: { encoding: "mulaw", sample_rate: 8000, container: "none" },
  },
  agent: { greeting: "Hello." },
});

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(port), perMessageDeflate: false });

server.on("connection", (carrier) => {
  const options = { perMessageDeflate: false, headers: { Authorization: "Token x" } };
  const agent = new WebSocket(agentUrl, options);
  let streamSid = "";

  agent.on("open", () => agent.send(settings));
  agent.on("message", (data, isBinary) => {
    if (isBinary) {
      const media = { payload: data.toString("base64") };
      carrier.send(JSON.stringify({ event: "media", streamSid, media }));
    } else if (JSON.parse(data).type === "UserStartedSpeaking") {
      carrier.send(JSON.stringify({ event: "clear", streamSid }));
    }
  });
  carrier.on("message", (data) => {
    const message = JSON.parse(data);
    if (message.event === "start") {
      streamSid = message.start.streamSid;
    } else if (message.event === "media" && agent.readyState === WebSocket.OPEN) {
      agent.send(Buffer.from(message.media.payload, "base64"));
    }
  });
  carrier.on("close", () => agent.terminate());
  agent.on("close", () => carrier.terminate());
  agent.on("error", () => carrier.terminate());
  carrier.on("error", () => agent.terminate());
});

server.on("listening", () => console.log("ready"));
