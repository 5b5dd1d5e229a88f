/**
 * The faults of each run, drawn from a seed before anything starts. The same seed gives the same
 * plans, whatever the number of runs.
 *
 * The kinds are drawn from shuffled decks: each kind occurs once before any repeats, so a few dozen
 * runs use all of them.
 */

import type { Direction } from '../../test/support/tcp-proxy.ts';
import { Random } from '../simulator/random.ts';

/**
 * Between wrapper and coordinator. Only timeouts detect a half-open link. `narrow` is a slower and
 * longer trickle; `answer` is a middlebox that cuts the connection and answers everything that
 * follows itself (see MIDDLEBOX_ANSWERS).
 */
export const WRAPPER_FAULTS = [
  'wrapper-cut',
  'wrapper-stall',
  'wrapper-trickle',
  'wrapper-narrow',
  'wrapper-answer',
  'wrapper-half-open',
  'wrapper-half-open-up',
  'wrapper-half-open-down',
] as const;
/**
 * Between the coordinator and both viewers (and every API call). The last one is a consumer that
 * stops reading.
 */
export const VIEWER_FAULTS = [
  'viewer-cut',
  'viewer-stall',
  'viewer-trickle',
  'viewer-answer',
  'viewer-half-open',
  'viewer-half-open-up',
  'viewer-half-open-down',
  'viewer-pause',
] as const;
/** `disk-full`: the disk of the wrapper's spool has little or no room for a while. */
export const PROCESS_FAULTS = ['coordinator-kill', 'runner-kill', 'disk-full'] as const;
/** Answers of programs between the two peers. None of them comes from the coordinator. */
export const MIDDLEBOX_ANSWERS = [
  '403 Forbidden',
  '401 Unauthorized',
  '404 Not Found',
  '400 Bad Request',
  '407 Proxy Authentication Required',
  '418 Unknown',
  '451 Unavailable For Legal Reasons',
  '200 OK',
  '302 Found',
  '502 Bad Gateway',
] as const;
/** Bytes that a full disk still has. The largest holds a few frames. */
export const DISK_ROOMS = [0, 4096, 64 * 1024, 300 * 1024] as const;
/** How the first execution of a run ends. */
export const ENDINGS = ['exit', 'interrupt', 'fail-call'] as const;

export type WrapperFault = (typeof WRAPPER_FAULTS)[number];
export type ViewerFault = (typeof VIEWER_FAULTS)[number];
export type ProcessFault = (typeof PROCESS_FAULTS)[number];
export type Ending = (typeof ENDINGS)[number];
/** The wrapper gets SIGKILL, and the next one adopts the job. */
export type WrapperKill = 'wrapper-kill';
export type FaultKind = WrapperFault | ViewerFault | ProcessFault | WrapperKill | Exclude<Ending, 'exit'>;

export const FAULT_KINDS: readonly FaultKind[] = [
  ...WRAPPER_FAULTS,
  ...VIEWER_FAULTS,
  ...PROCESS_FAULTS,
  'wrapper-kill',
  'interrupt',
  'fail-call',
];

export interface Fault<K = FaultKind> {
  kind: K;
  /** After the job's first line. */
  atMs: number;
  /** Of a kill: how long its wrapper has had the job. 0: it may not have it yet. */
  forMs: number;
  direction: Direction;
  bytesPerSecond: number;
  /** Of `answer` kinds: status line after the version. */
  answer: (typeof MIDDLEBOX_ANSWERS)[number];
  /** Of `disk-full`. */
  roomBytes: number;
}

/**
 * The viewer that joins later. The first one reads the whole session, with flow control, from its
 * beginning.
 */
export interface LateViewer {
  atMs: number;
  /** It follows only the first execution. */
  execution: boolean;
  /** It leaves out everything except lines of the job and verdicts. */
  types: boolean;
  /** It uses a ticket in place of the API key. */
  ticket: boolean;
  flow: boolean;
  /** It begins after what the first viewer has received by then. */
  resumes: boolean;
}

export interface RunPlan {
  index: number;
  events: number;
  /** How long the job takes for them. */
  durationMs: number;
  ending: Fault<Ending>;
  /** One lane for each. Faults of one lane never overlap; those of different lanes may. */
  wrapper: Fault<WrapperFault>[];
  viewer: Fault<ViewerFault>[];
  process: Fault<ProcessFault>[];
  kills: Fault<WrapperKill>[];
  /** Another execution waits in the queue meanwhile. */
  next: boolean;
  /**
   * The job does not end before each fault of the plan has begun, and a forced end waits for them
   * too. Then a slow machine misses no fault. Without it a fault may come too late and hit nothing,
   * and the end may come at any point of the others.
   */
  waits?: boolean;
  late: LateViewer;
}

export class Deck<K> {
  readonly #kinds: readonly K[];
  readonly #random: Random;
  #rest: K[] = [];

  constructor(kinds: readonly K[], random: Random) {
    this.#kinds = kinds;
    this.#random = random;
  }

  deal(): K {
    if (this.#rest.length === 0) this.#rest = [...this.#kinds];
    return this.#rest.splice(this.#random.int(0, this.#rest.length - 1), 1)[0] as K;
  }
}

/**
 * A fault after the job's end would hit nothing. Before its first lines it would hit the start,
 * which other tests cover.
 */
const FIRST_AT = 0.05;
const LAST_AT = 0.7;

/** Of the kills: those that hit a wrapper while it starts, if one does. */
const EARLY_KILLS_SHARE = 0.25;

function forMsOf(kind: FaultKind, random: Random): number {
  switch (kind) {
    case 'wrapper-cut':
    case 'viewer-cut':
      return random.int(0, 2000);
    case 'coordinator-kill':
    case 'runner-kill':
      return random.int(0, 1500);
    case 'wrapper-narrow':
      return random.int(8000, 20_000);
    case 'wrapper-kill':
      return random.chance(EARLY_KILLS_SHARE) ? 0 : random.int(1, 1500);
    default:
      return random.int(800, 7000);
  }
}

export interface PlanSize {
  events: number;
  durationMs: number;
  /** Only cuts of the wrapper's link, and many kills of the wrapper. */
  adopt?: boolean;
}

const KILLS_SHARE = 0.4;
const KILLS_MAX = 2;
const ADOPT_KILLS = { min: 3, max: 10 };

export function planRuns(count: number, seed: number, { events, durationMs, adopt = false }: PlanSize): RunPlan[] {
  const random = new Random(seed);
  const wrapperDeck = new Deck(WRAPPER_FAULTS, random);
  const viewerDeck = new Deck(VIEWER_FAULTS, random);
  const processDeck = new Deck(PROCESS_FAULTS, random);
  const endingDeck = new Deck<Ending>(['exit', 'exit', 'exit', 'interrupt', 'fail-call'], random);

  return Array.from({ length: count }, (_, index) => {
    const fault = <K extends FaultKind | 'exit'>(kind: K, from: number, to: number): Fault<K> => ({
      kind,
      atMs: Math.round(durationMs * (from + random.next() * (to - from))),
      forMs: kind === 'exit' ? 0 : forMsOf(kind, random),
      direction: random.pick(['both', 'up', 'down']),
      bytesPerSecond: (kind === 'wrapper-narrow' ? random.int(2, 8) : random.int(4, 60)) * 1024,
      answer: random.pick(MIDDLEBOX_ANSWERS),
      roomBytes: random.pick(DISK_ROOMS),
    });
    const kind = endingDeck.deal();
    const ending = kind === 'exit' ? fault(kind, 1, 1) : fault(kind, 0.3, 0.85);
    // Faults begin before the chosen end.
    const last = Math.min(LAST_AT, (ending.atMs / durationMs) * 0.9);
    const lane = <K extends FaultKind>(deck: Deck<K>, most: number): Fault<K>[] =>
      Array.from({ length: most }, () => fault(deck.deal(), FIRST_AT, last)).sort((a, b) => a.atMs - b.atMs);
    const killCount = () => {
      if (adopt) return random.int(ADOPT_KILLS.min, ADOPT_KILLS.max);
      return random.chance(KILLS_SHARE) ? random.int(1, KILLS_MAX) : 0;
    };
    const kills = Array.from({ length: killCount() }, () => fault('wrapper-kill' as const, FIRST_AT, last)).sort(
      (a, b) => a.atMs - b.atMs,
    );
    const wrapper = adopt ? [fault('wrapper-cut' as const, FIRST_AT, last)] : lane(wrapperDeck, random.int(1, 2));
    // For a while after a half-open link there is nothing to hit.
    wrapper.sort((a, b) => Number(a.kind.includes('half-open')) - Number(b.kind.includes('half-open')));
    return {
      index,
      events,
      durationMs,
      ending,
      wrapper,
      viewer: adopt ? [] : lane(viewerDeck, random.int(1, 2)),
      process: adopt ? [] : lane(processDeck, random.int(0, 2)),
      kills,
      next: !adopt && random.chance(0.5),
      ...(adopt ? { waits: true } : {}),
      late: {
        atMs: Math.round(durationMs * last * random.next()),
        execution: random.chance(0.5),
        types: random.chance(0.5),
        ticket: random.chance(0.5),
        flow: random.chance(0.5),
        resumes: random.chance(0.5),
      },
    };
  });
}

export const plannedKinds = ({ ending, wrapper, viewer, process, kills }: RunPlan): FaultKind[] => [
  ...[...wrapper, ...viewer, ...process, ...kills].map(({ kind }) => kind),
  ...(ending.kind === 'exit' ? [] : [ending.kind]),
];

export function describePlan({ ending, wrapper, viewer, process, kills, next, late }: RunPlan): string {
  const faults = [...wrapper, ...viewer, ...process, ...kills, ...(ending.kind === 'exit' ? [] : [ending])];
  const when = (atMs: number) => `${(atMs / 1000).toFixed(1)}s`;
  const parts = faults.sort((a, b) => a.atMs - b.atMs).map(({ kind, atMs }) => `${kind}@${when(atMs)}`);
  const flags = Object.entries(late).filter(([, value]) => value === true);
  parts.push(`late viewer@${when(late.atMs)}${flags.length > 0 ? ` (${flags.map(([name]) => name).join(', ')})` : ''}`);
  if (next) parts.push('next queued');
  return parts.join(' ');
}
