// How long a text message is, and in how many pieces it travels (3GPP TS 23.038). Without this script nothing is missing.

const BASIC = new Set(
  "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà",
);
const TWICE = new Set("^{}\\[~]|€");

function pieces(text) {
  const letters = [...text];
  const basic = letters.every((letter) => BASIC.has(letter) || TWICE.has(letter));
  const size = basic ? letters.reduce((sum, letter) => sum + (TWICE.has(letter) ? 2 : 1), 0) : text.length;
  const [alone, joined] = basic ? [160, 153] : [70, 67];
  return size <= alone ? 1 : Math.ceil(size / joined);
}

for (const field of document.querySelectorAll("[data-segments]")) {
  const shown = document.getElementById(field.dataset.segments);
  const show = () => {
    const count = pieces(field.value);
    shown.textContent = field.value ? `${[...field.value].length} characters, ${count} ${count === 1 ? "part" : "parts"}` : "";
  };
  field.addEventListener("input", show);
  show();
}
