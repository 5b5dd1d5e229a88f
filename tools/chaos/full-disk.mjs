// A disk that fills, for one wrapper and its spool. Preloaded into the program:
//
//    node --import 'file:///…/full-disk.mjs?control=FOLDER' wrapper/main.ts …
//
// While FOLDER/room exists, files below a folder named `spool` may grow by that many bytes in all.
// Deleting or truncating frees room. A write that does not fit writes what fits, as a real file
// system does, and the next one fails with ENOSPC. Each refusal appends one byte to FOLDER/refused.
//
// Known limits: only the calls that the spool uses are wrapped. A file that existed before counts
// from its size at that time.
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const control = new URL(import.meta.url).searchParams.get('control');
const roomFile = join(control, 'room');
const refusedFile = join(control, 'refused');
const real = { ...fs };

/**
 * Paths of open descriptors below the spool, and the lengths of its files as far as they were
 * written here.
 */
const open = new Map();
const lengths = new Map();
/** Null: the disk is not full. */
let room = null;

const isOurs = (path) => String(path instanceof URL ? fileURLToPath(path) : path).includes(`${sep}spool${sep}`);

function look() {
  const full = real.existsSync(roomFile);
  if (full && room === null) room = Number(real.readFileSync(roomFile, 'utf8')) || 0;
  if (!full) room = null;
  return full;
}

const lengthOf = (path) => {
  if (!lengths.has(path)) lengths.set(path, real.existsSync(path) ? real.statSync(path).size : 0);
  return lengths.get(path);
};

function setLength(path, length) {
  if (room !== null) room -= length - lengthOf(path);
  lengths.set(path, length);
}

function noSpace(call) {
  real.appendFileSync(refusedFile, '.');
  return Object.assign(new Error(`ENOSPC: no space left on device, ${call}`), { code: 'ENOSPC', errno: -28, syscall: call });
}

/** How many of the bytes of [position, position + wanted) fit. Throws when no byte fits. */
function fitting(fd, wanted, position, call) {
  const path = open.get(fd);
  if (path === undefined || !look() || wanted === 0) return wanted;
  const from = position ?? lengthOf(path);
  const free = Math.max(0, lengthOf(path) - from) + Math.max(0, room);
  if (free <= 0) throw noSpace(call);
  return Math.min(wanted, free);
}

function wrote(fd, count, position) {
  const path = open.get(fd);
  if (path === undefined) return;
  setLength(path, Math.max(lengthOf(path), (position ?? lengthOf(path)) + count));
}

fs.openSync = (path, flags, mode) => {
  if (!isOurs(path)) return real.openSync(path, flags, mode);
  const creates = /[wa]/.test(String(flags ?? 'r')) && !real.existsSync(path);
  if (creates && look() && room <= 0) throw noSpace('open');
  const fd = real.openSync(path, flags, mode);
  open.set(fd, String(path));
  if (/w/.test(String(flags))) setLength(String(path), 0);
  return fd;
};
fs.closeSync = (fd) => {
  open.delete(fd);
  real.closeSync(fd);
};

const cut = (buffers, bytes) => {
  const kept = [];
  let left = bytes;
  for (const buffer of buffers) {
    if (left <= 0) break;
    kept.push(buffer.subarray(0, left));
    left -= buffer.length;
  }
  return kept;
};
const total = (buffers) => buffers.reduce((sum, { length }) => sum + length, 0);

fs.writevSync = (fd, buffers, position) => {
  const count = real.writevSync(fd, cut(buffers, fitting(fd, total(buffers), position, 'write')), position);
  wrote(fd, count, position);
  return count;
};
fs.writev = (fd, buffers, ...rest) => {
  const done = rest.pop();
  const [position] = rest;
  let some;
  try {
    some = cut(buffers, fitting(fd, total(buffers), position, 'write'));
  } catch (error) {
    setImmediate(done, error, 0, buffers);
    return;
  }
  real.writev(fd, some, position, (error, count) => {
    if (!error) wrote(fd, count, position);
    done(error, count, buffers);
  });
};
fs.writeSync = (fd, data, ...rest) => {
  if (!open.has(fd)) return real.writeSync(fd, data, ...rest);
  const isText = typeof data === 'string';
  const bytes = isText ? Buffer.from(data, rest[1] ?? 'utf8') : Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const [offset, length, position] = isText ? [0, bytes.length, rest[0]] : [rest[0] ?? 0, rest[1], rest[2]];
  const wanted = length ?? bytes.length - offset;
  const count = real.writeSync(fd, bytes, offset, fitting(fd, wanted, position ?? undefined, 'write'), position);
  wrote(fd, count, position ?? undefined);
  return count;
};
fs.writeFileSync = (path, data, options) => {
  if (typeof path === 'number' || !isOurs(path)) return real.writeFileSync(path, data, options);
  const fd = fs.openSync(path, options?.flag ?? 'w', options?.mode);
  try {
    const bytes = Buffer.from(data);
    for (let at = 0; at < bytes.length; ) at += fs.writeSync(fd, bytes, at, bytes.length - at);
  } finally {
    fs.closeSync(fd);
  }
};
fs.rmSync = (path, options) => {
  if (isOurs(path)) setLength(String(path), 0);
  real.rmSync(path, options);
  lengths.delete(String(path));
};
fs.unlinkSync = (path) => {
  if (isOurs(path)) setLength(String(path), 0);
  real.unlinkSync(path);
  lengths.delete(String(path));
};
fs.renameSync = (from, to) => {
  if (isOurs(to)) {
    const length = lengthOf(String(from));
    setLength(String(to), 0);
    lengths.set(String(to), length);
    lengths.delete(String(from));
  }
  real.renameSync(from, to);
};
fs.ftruncateSync = (fd, length = 0) => {
  real.ftruncateSync(fd, length);
  const path = open.get(fd);
  if (path !== undefined) setLength(path, length);
};
fs.linkSync = (from, to) => {
  if (isOurs(to) && look() && room <= 0) throw noSpace('link');
  real.linkSync(from, to);
};
syncBuiltinESMExports();
