// Numbers as people read them. What is not known is a dash.

const DASH = "–";
const known = (value) => value !== null && value !== undefined && Number.isFinite(value);

export function bitrate(bits) {
  if (!known(bits)) return DASH;
  if (bits < 1e3) return `${Math.round(bits)} b/s`;
  if (bits < 1e6) return `${Math.round(bits / 1e3)} kb/s`;
  return `${(bits / 1e6).toFixed(bits < 1e7 ? 2 : 1)} Mb/s`;
}

export function size(bytes) {
  if (!known(bytes)) return DASH;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) { bytes /= 1024; unit += 1; }
  return `${bytes.toFixed(unit === 0 || bytes >= 100 ? 0 : 1)} ${units[unit]}`;
}

export function seconds(value) {
  return known(value) ? `${value.toFixed(value < 10 ? 1 : 0)} s` : DASH;
}

export function span(value) {
  if (!known(value)) return DASH;
  const all = Math.max(0, Math.floor(value));
  const [days, hours, minutes] = [Math.floor(all / 86400), Math.floor(all / 3600) % 24, Math.floor(all / 60) % 60];
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${all % 60} s` : `${all} s`;
}

export const count = (value) => (known(value) ? value.toLocaleString("en") : DASH);

/** The measured rate; where it is the stated one but for jitter, that one. */
export function rate(measured, stated) {
  const value = stated && Math.abs(measured - stated) < stated * 0.02 ? stated : measured || stated;
  return known(value) ? `${Number(value.toFixed(value === stated ? 2 : 1))} fps` : DASH;
}

export function clock(text) {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? DASH : date.toLocaleString();
}

const CHANNELS = { 1: "mono", 2: "stereo", 6: "5.1", 8: "7.1" };

/** What a track is, in a few words each: ["H.264", "1280 × 720"]. */
export function track(of) {
  const words = [of.codec_name || of.codec];
  if (of.width && of.height) words.push(`${of.width} × ${of.height}`);
  if (of.sample_rate) words.push(`${of.sample_rate / 1000} kHz`);
  if (of.channels) words.push(CHANNELS[of.channels] ?? `${of.channels} ch`);
  if (of.language) words.push(of.language);
  return words;
}
