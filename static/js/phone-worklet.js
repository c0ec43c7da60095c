// Microphone to mu-law frames, and mu-law frames to the speaker, at 8 kHz. Runs in the audio thread.

const FRAME = 160;

function encode(sample) {
  const value = Math.max(-32635, Math.min(32635, Math.round(sample * 32767)));
  const sign = value < 0 ? 0x80 : 0;
  const magnitude = Math.abs(value) + 0x84;
  const exponent = 31 - Math.clz32(magnitude) - 7;
  return ~(sign | (exponent << 4) | ((magnitude >> (exponent + 3)) & 0x0f)) & 0xff;
}

function decode(byte) {
  const value = ~byte & 0xff;
  const magnitude = ((((value & 0x0f) << 3) + 0x84) << ((value & 0x70) >> 4)) - 0x84;
  return (value & 0x80 ? -magnitude : magnitude) / 32768;
}

class Phone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.step = sampleRate / 8000;
    this.position = 0;
    this.sum = 0;
    this.count = 0;
    this.frame = new Uint8Array(FRAME);
    this.filled = 0;
    this.queue = []; // { bytes, at } or { mark }
    this.phase = 0;
    this.muted = true;
    this.port.onmessage = ({ data }) => this.take(data);
  }

  take(data) {
    if (data.audio) {
      this.queue.push({ bytes: data.audio, at: 0 });
    } else if (data.mark) {
      this.queue.push({ mark: data.mark });
    } else if (data.clear) {
      for (const item of this.queue) {
        if (item.mark) {
          this.port.postMessage({ mark: item.mark });
        }
      }
      this.queue = [];
    } else if ("muted" in data) {
      this.muted = data.muted;
    }
  }

  nextSample() {
    while (this.queue.length) {
      const item = this.queue[0];
      if (item.mark) {
        this.port.postMessage({ mark: item.mark });
        this.queue.shift();
      } else if (item.at < item.bytes.length) {
        return decode(item.bytes[item.at++]);
      } else {
        this.queue.shift();
      }
    }
    return null;
  }

  process(inputs, outputs) {
    const input = inputs[0][0];
    const output = outputs[0][0];
    for (let index = 0; index < output.length; index += 1) {
      this.sum += input && !this.muted ? input[index] : 0;
      this.count += 1;
      this.position += 1;
      if (this.position >= this.step) {
        this.position -= this.step;
        this.frame[this.filled++] = encode(this.sum / this.count);
        this.sum = 0;
        this.count = 0;
        this.held = this.nextSample() ?? 0;
        if (this.filled === FRAME) {
          this.port.postMessage({ frame: this.frame.slice() });
          this.filled = 0;
        }
      }
      output[index] = this.held ?? 0;
    }
    return true;
  }
}

registerProcessor("phone", Phone);
