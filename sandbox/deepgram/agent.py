"""One session of the stand-in voice agent, on the vendor's wire protocol (Voice Agent API V1)."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
import uuid
from typing import Any

from aiohttp import WSMsgType, web
from openai import OpenAIError

from sandbox.deepgram import brain
from sandbox.deepgram.faults import Fault, Faults, Kind
from sandbox.deepgram.settings import fault_in
from sandbox.deepgram.turns import Change, Turn, TurnDetector
from sandbox.recognition import recognise
from sandbox.speech import speak

logger = logging.getLogger("sandbox.deepgram")

CLIENT_SILENCE_S = 12.0  # without audio or KeepAlive
CHUNK_BYTES = 1920
NOT_UNDERSTOOD = "[not understood]"
TOOL_WAIT_S = 15.0


class AgentServer:
    """What all sessions share: the key, the orders for faults, and what was asked for (for tests to look at)."""

    def __init__(self, api_key: str, *, think_base_url: str = "", think_api_key: str = "") -> None:
        self.api_key = api_key
        self.faults = Faults()
        self.think = (think_base_url, think_api_key)
        self.settings_seen: list[dict[str, Any]] = []
        self.messages_seen: list[dict[str, Any]] = []
        self.sessions: set[Session] = set()
        self.agent_s = 0.0  # of all sessions that are over

    async def projects(self, request: web.Request) -> web.Response:
        """What an account has; asked to see whether a key works."""
        if request.headers.get("Authorization") != f"Token {self.api_key}":
            return web.Response(status=401, text="Invalid credentials.")
        return web.json_response({"projects": [{"project_id": "sandbox", "name": "Sandbox"}]})

    async def usage(self, request: web.Request) -> web.Response:
        """How much was used, as the vendor's management API tells it."""
        if request.headers.get("Authorization") != f"Token {self.api_key}":
            return web.Response(status=401, text="Invalid credentials.")
        row = {"hours": 0, "total_hours": self.agent_s / 3600, "agent_hours": self.agent_s / 3600, "requests": 1}
        body = {"start": request.query.get("start"), "end": request.query.get("end"), "results": [row]}
        return web.json_response(body)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization", "") not in (f"Token {self.api_key}", f"Bearer {self.api_key}"):
            return web.Response(status=401, text="Invalid credentials.")
        if fault := self.faults.take(Kind.REFUSE, 0):
            return web.Response(status=fault.status, text="Refused on order.")
        socket = web.WebSocketResponse(compress=False, max_msg_size=1 << 20)
        await socket.prepare(request)
        session = Session(self, socket)
        self.sessions.add(session)
        begun = time.monotonic()
        try:
            await session.run()
        finally:
            self.agent_s += time.monotonic() - begun
            self.sessions.discard(session)
        return socket


class Session:
    def __init__(self, server: AgentServer, socket: web.WebSocketResponse) -> None:
        self.server = server
        self.socket = socket
        self.detector = TurnDetector()
        self.mind = brain.Mind("", frozenset())
        self.functions: list[dict[str, Any]] = []
        self.model = ""
        self.configured = False
        self.stalled = False
        self.turns = 0
        self.heard_at = time.monotonic()
        self.answers: dict[str, asyncio.Future[str]] = {}
        self.speaking: asyncio.Task[None] | None = None
        self._rest: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        await self.send({"type": "Welcome", "request_id": str(uuid.uuid4())})
        watch = asyncio.create_task(self._expect_client())
        try:
            async for message in self.socket:
                self.heard_at = time.monotonic()
                if message.type == WSMsgType.BINARY:
                    await self._audio(message.data)
                elif message.type == WSMsgType.TEXT:
                    await self._message(message.data)
        finally:
            for task in (watch, self.speaking, *self._rest):
                if task is not None:
                    task.cancel()

    async def send(self, message: dict[str, Any]) -> None:
        if not self.socket.closed:
            try:
                await self.socket.send_str(json.dumps(message))
            except ConnectionError:
                logger.debug("The client is gone.")

    async def fail(self, code: str, description: str = "") -> None:
        """Every Error ends the session."""
        await self.send({"type": "Error", "code": code, "description": description or code})
        await self.socket.close(code=1011)

    async def _expect_client(self) -> None:
        while True:
            await asyncio.sleep(1)
            if time.monotonic() - self.heard_at > CLIENT_SILENCE_S:
                await self.fail("CLIENT_MESSAGE_TIMEOUT")
                return

    # --- messages ------------------------------------------------------------------------------------------------

    async def _message(self, text: str) -> None:
        try:
            message = json.loads(text)
        except ValueError:
            await self.fail("UNPARSABLE_CLIENT_MESSAGE")
            return
        self.server.messages_seen.append(message)
        kind = message.get("type")
        if not self.configured and kind != "Settings":
            await self.fail("NON_SETTINGS_MESSAGE_BEFORE_SETTINGS")
            return
        match kind:
            case "Settings":
                await self._settings(message)
            case "InjectUserMessage":
                self._begin(self._reply(message["content"]))
            case "InjectAgentMessage":
                await self._inject(message)
            case "FunctionCallResponse":
                future = self.answers.pop(message.get("id", ""), None)
                if future is not None and not future.done():
                    future.set_result(str(message.get("content", "")))
            case "UpdateThink":
                self._take_think(message["think"])
                await self.send({"type": "ThinkUpdated"})
            case "UpdatePrompt":
                self.mind.prompt = message["prompt"]
                await self.send({"type": "PromptUpdated"})
            case "KeepAlive":
                pass
            case _:
                await self.fail("UNPARSABLE_CLIENT_MESSAGE", f"unknown type {kind}")

    async def _settings(self, message: dict[str, Any]) -> None:
        if self.configured:
            await self.fail("SETTINGS_ALREADY_APPLIED")
            return
        if fault := fault_in(message):
            await self.fail("INVALID_SETTINGS", fault)
            return
        self.server.settings_seen.append(message)
        self.configured = True
        agent = message["agent"]
        self._take_think(agent["think"])
        for said in agent.get("context", {}).get("messages", []):
            if "content" in said:
                self.mind.history.append((said["role"], said["content"]))
        if self.server.faults.take(Kind.STALL_SETTINGS, 0):
            return
        await self.send({"type": "SettingsApplied"})
        if await self._strike(0):
            return
        if greeting := agent.get("greeting"):
            self._begin(self._say(greeting))

    def _take_think(self, think: Any) -> None:
        block = think[0] if isinstance(think, list) else think
        self.mind.prompt = block.get("prompt", "")
        self.functions = block.get("functions", [])
        self.mind.tools = frozenset(function["name"] for function in self.functions)
        self.model = block["provider"].get("model", "")

    async def _inject(self, message: dict[str, Any]) -> None:
        if self.server.faults.take(Kind.REFUSE_SAY, 0):
            await self.send({"type": "InjectionRefused", "message": "Refused on order."})
            return
        if self.stalled:
            return
        busy = self.speaking is not None and not self.speaking.done()
        if busy and message.get("behavior", "default") == "default":
            await self.send({"type": "InjectionRefused", "message": "The agent is speaking."})
        elif busy and message.get("behavior") == "queue":
            previous = self.speaking
            assert previous is not None
            self._spawn(self._say_after(previous, message["message"]))
        else:
            self._begin(self._say(message["message"]))

    async def _say_after(self, previous: asyncio.Task[None], text: str) -> None:
        await asyncio.wait([previous])
        self._begin(self._say(text))

    # --- listening -----------------------------------------------------------------------------------------------

    async def _audio(self, audio: bytes) -> None:
        if not self.configured:
            await self.fail("NON_SETTINGS_MESSAGE_BEFORE_SETTINGS")
            return
        for turn in self.detector.feed(audio):
            await self._turn(turn)

    async def _turn(self, turn: Turn) -> None:
        if self.stalled:
            return
        if turn.change is Change.STARTED:
            self._interrupt()
            await self.send({"type": "UserStartedSpeaking"})
            return
        if self.server.faults.take(Kind.DEAF, self.turns + 1):
            self._abort()
            return
        text = recognise(turn.audio)
        self._begin(self._reply(text))

    def _interrupt(self) -> None:
        if self.speaking is not None:
            self.speaking.cancel()
            self.speaking = None

    def _begin(self, work: Any) -> None:
        self._interrupt()
        self.speaking = self._spawn(work)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._rest.add(task)
        task.add_done_callback(self._rest.discard)
        return task

    # --- thinking and speaking -----------------------------------------------------------------------------------

    async def _reply(self, said: str | None) -> None:
        ended = time.monotonic()
        self.turns += 1
        if self.server.faults.take(Kind.SPECULATE, self.turns):
            await self._speculate()
        await self.send({"type": "ConversationText", "role": "user", "content": said or NOT_UNDERSTOOD})
        self.mind.history.append(("user", said or NOT_UNDERSTOOD))
        if await self._strike(self.turns):
            return
        try:
            thought = await self._think(said)
        except (OpenAIError, ValueError) as error:
            await self.fail("FAILED_TO_THINK", type(error).__name__)
            return
        thought_at = time.monotonic()
        text = thought.text
        if thought.tool is not None:
            result = await self._use(thought.tool)
            if result is None:
                return
            text = brain.after_tool(thought.tool.name, result)
        await self._say(text, began=ended, thought_at=thought_at)

    async def _think(self, said: str | None) -> brain.Thought:
        base_url, api_key = self.server.think
        if base_url and said is not None:
            return await brain.think_with_model(self.mind, base_url, api_key, self.model, self.functions)
        return brain.answer(self.mind, said)

    async def _use(self, tool: brain.ToolUse) -> str | None:
        """Have the client run a tool; None when it does not answer."""
        identifier = f"call_{uuid.uuid4().hex[:8]}"
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.answers[identifier] = future
        await self.send({"type": "FunctionCallRequest", "functions": [self._request(identifier, tool)]})
        try:
            return await asyncio.wait_for(future, TOOL_WAIT_S)
        except TimeoutError:
            return None

    @staticmethod
    def _request(identifier: str, tool: brain.ToolUse) -> dict[str, Any]:
        return {"id": identifier, "name": tool.name, "arguments": json.dumps(tool.arguments), "client_side": True}

    async def _speculate(self) -> None:
        """Call a tool while the turn is still open, and take it back: the trap of thinking ahead."""
        tool = brain.ToolUse("end_call", {})
        identifier = f"call_{uuid.uuid4().hex[:8]}"
        await self.send({"type": "UserStartedSpeaking"})
        await self.send({"type": "FunctionCallRequest", "functions": [self._request(identifier, tool)]})
        await asyncio.sleep(0.1)
        cancelled = {"id": identifier, "name": tool.name}
        await self.send({"type": "FunctionCallCancelled", "functions": [cancelled]})

    async def _say(self, text: str, *, began: float | None = None, thought_at: float | None = None) -> None:
        """Speak a sentence: much faster than real time, in pieces, as the vendor does."""
        begun = time.monotonic()
        audio = await asyncio.to_thread(speak, text)
        spoken = time.monotonic()
        self.mind.history.append(("assistant", text))
        await self.send({"type": "ConversationText", "role": "assistant", "content": text})
        if began is not None and thought_at is not None:
            report = {
                "ttt_token_latency": thought_at - began,
                "tts_latency": spoken - begun,
                "total_latency": spoken - began,
            }
            await self.send({"type": "LatencyReport", **{key: round(value, 4) for key, value in report.items()}})
        for start in range(0, len(audio), CHUNK_BYTES):
            await self.socket.send_bytes(audio[start : start + CHUNK_BYTES])
            await asyncio.sleep(0)
        await self.send({"type": "AgentAudioDone"})

    async def _strike(self, turn: int) -> bool:
        """Carry out what was ordered for this turn; True when the session is of no more use."""
        faults = self.server.faults
        if fault := faults.take(Kind.WARN, turn):
            await self.send({"type": "Warning", "code": fault.code, "description": "On order."})
        if faults.take(Kind.STALL, turn):
            self.stalled = True
            return True
        if faults.take(Kind.DROP, turn):
            self._abort()
            return True
        fault = faults.take(Kind.ERROR, turn) or self._session_limit(turn)
        if fault is not None:
            await self.fail(fault.code, "On order.")
            return True
        return False

    def _session_limit(self, turn: int) -> Fault | None:
        fault = self.server.faults.take(Kind.SESSION_LIMIT, turn)
        if fault is not None:
            fault.code = "MAXIMUM_SESSION_LENGTH_REACHED"
        return fault

    def _abort(self) -> None:
        """End the connection without a closing handshake, as a crash would."""
        transport = self.socket._req.transport if self.socket._req is not None else None
        if transport is not None:
            transport.abort()


def from_environment() -> AgentServer:
    key = os.environ["DEEPGRAM_API_KEY"]
    return AgentServer(
        key, think_base_url=os.environ.get("OPENAI_BASE_URL", ""), think_api_key=os.environ.get("OPENAI_API_KEY", "")
    )
