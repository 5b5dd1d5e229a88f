/**
 * The composition of a crowd and the faults on it, drawn from a seed before anything starts.
 *
 * Times are shares of the completed work: the same plan fits a fast and a slow machine.
 */

import type { Direction } from '../../test/support/tcp-proxy.ts';
import { Deck } from '../chaos/plan.ts';
import { Random } from '../simulator/random.ts';
import type { Shape } from './shapes.ts';

/**
 * A deed on one execution. `early`: an interrupt right after its start, when most executions wait
 * in the queue.
 */
export const DEEDS = ['interrupt', 'force', 'early', 'fail', 'kill', 'freeze'] as const;
export type Deed = (typeof DEEDS)[number];

/** A fault on all, or on a share of them. */
export const CROWD_FAULTS = [
  'wrapper-cut',
  'wrapper-half-open',
  'wrapper-stall',
  'viewer-cut',
  'viewer-half-open',
  'viewer-stall',
  'coordinator-kill',
  'runner-kill',
] as const;
export type CrowdFault = (typeof CROWD_FAULTS)[number];

export interface ExecutionPlan {
  session: string;
  id: string;
  shape: Shape;
  /** Seconds, rounds, lines or the exit code, depending on the shape. */
  size: number;
  deed: Deed | null;
  /** After the job began, or after the gate was opened, whichever is later. */
  deedAfterMs: number;
}

export interface PlannedFault {
  kind: CrowdFault;
  /** Share of the crowd's work that is done at that time, from 0 to 1. */
  at: number;
  forMs: number;
  direction: Direction;
  /** Share of the connections. */
  share: number;
}

/** One visit of a viewer that comes and goes. */
export interface Visit {
  session: number;
  /** Where it begins, as a share of the existing log. */
  from: number;
  staysMs: number;
  /** It stops reading after this, until it leaves. */
  stallsAfterMs: number | null;
  flow: boolean;
}

export interface CrowdPlan {
  seed: number;
  sessions: { name: string; executions: ExecutionPlan[] }[];
  faults: PlannedFault[];
  /** Rows of visits. The visits of a row are made one after the other. */
  visitors: Visit[][];
}

export interface CrowdSize {
  sessions: number;
  /** Of each session, at most as many as may wait in a queue. */
  executions: number;
}

const SHAPE_CARDS: readonly Shape[] = [
  ...['chatty', 'jsonl', 'stdin', 'exit', 'silent', 'big', 'input', 'signal', 'endless', 'stubborn', 'deaf', 'overtime', 'missing'],
  ...['chatty', 'jsonl', 'stdin', 'exit', 'silent', 'chatty', 'endless', 'endless', 'chatty'],
] as Shape[];

const ENDLESS_CARDS: readonly Deed[] = ['kill', 'interrupt', 'fail', 'freeze', 'interrupt'];
const TALKING_CARDS: readonly (Deed | null)[] = ['kill', null, 'interrupt', null, null, 'fail', null];
const DEAF_CARDS: readonly Deed[] = ['interrupt', 'force'];
/** Number of the others that are interrupted while they wait. */
const EARLY_SHARE = 0.08;

function sizeOf(shape: Shape, random: Random): number {
  switch (shape) {
    case 'silent':
      return random.int(0, 3);
    case 'chatty':
      return random.int(5, 40);
    case 'big':
      return random.int(1, 4);
    case 'jsonl':
      return random.int(5, 30);
    case 'exit':
      return random.int(1, 98);
    default:
      return 0;
  }
}

/** One fault per this many executions, and each kind at least once if there are enough. */
const EXECUTIONS_PER_FAULT = 30;
const FAULTS_MIN = 8;
const COORDINATOR_KILLS_MAX = 2;
const RUNNER_KILLS_MAX = 2;
const SESSIONS_PER_VISITOR = 20;
const VISITS = 200;

export function planCrowd(seed: number, { sessions, executions }: CrowdSize): CrowdPlan {
  const random = new Random(seed);
  const shapes = new Deck(SHAPE_CARDS, random);
  const endless = new Deck(ENDLESS_CARDS, random);
  const talking = new Deck(TALKING_CARDS, random);
  const deaf = new Deck(DEAF_CARDS, random);
  const deedOf = (shape: Shape): Deed | null => {
    switch (shape) {
      case 'endless':
        return endless.deal();
      case 'stubborn':
        return 'interrupt';
      case 'deaf':
        return deaf.deal();
      case 'chatty':
      case 'jsonl':
        return talking.deal();
      default:
        return random.chance(EARLY_SHARE) ? 'early' : null;
    }
  };
  const crowd = Array.from({ length: sessions }, (_, s) => {
    const name = `crowd-${String(s + 1).padStart(3, '0')}`;
    return {
      name,
      executions: Array.from({ length: executions }, (__, e): ExecutionPlan => {
        const shape = shapes.deal();
        const deed = deedOf(shape);
        return { session: name, id: `e${e + 1}`, shape, size: sizeOf(shape, random), deed, deedAfterMs: random.int(0, 2500) };
      }),
    };
  });

  const kinds = new Deck<CrowdFault>(CROWD_FAULTS, random);
  const left: Partial<Record<CrowdFault, number>> = { 'coordinator-kill': COORDINATOR_KILLS_MAX, 'runner-kill': RUNNER_KILLS_MAX };
  const wanted = Math.max(FAULTS_MIN, Math.round((sessions * executions) / EXECUTIONS_PER_FAULT));
  const faults = Array.from({ length: wanted }, (_, index): PlannedFault => {
    let kind = kinds.deal();
    // Each kill costs the whole crowd seconds. Kills above the limit become cuts.
    const rest = left[kind];
    if (rest === 0) kind = 'wrapper-cut';
    else if (rest !== undefined) left[kind] = rest - 1;
    return {
      kind,
      at: 0.04 + (0.84 * (index + random.next())) / wanted,
      forMs: random.int(0, 3000),
      direction: random.pick(['both', 'up', 'down']),
      share: kind.endsWith('half-open') ? 0.1 + random.next() * 0.2 : 0.2 + random.next() * 0.8,
    };
  });

  const visitors = Array.from({ length: Math.max(2, Math.round(sessions / SESSIONS_PER_VISITOR)) }, () =>
    Array.from({ length: VISITS }, (): Visit => {
      const staysMs = random.int(500, 8000);
      return {
        session: random.int(0, sessions - 1),
        from: random.chance(0.5) ? 0 : random.next(),
        staysMs,
        stallsAfterMs: random.chance(0.3) ? random.int(0, staysMs) : null,
        flow: random.chance(0.5),
      };
    }),
  );
  return { seed, sessions: crowd, faults, visitors };
}
