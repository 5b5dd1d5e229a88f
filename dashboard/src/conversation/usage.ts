/** Tokens and cost as people read them. Pure. */

import type { Usage } from '../../../agent/index.ts';
import { formatCount } from '../ui/time.ts';

/** `$0.0053`, `$1.24`: two digits that count. */
export function costText(usd: number): string {
  if (usd === 0) return '$0';
  if (usd < 0.0001) return 'under $0.0001';
  return `$${usd >= 1 ? usd.toFixed(2) : usd.toFixed(Math.min(4, 1 - Math.floor(Math.log10(usd))))}`;
}

export function usageText({ inputTokens, outputTokens, costUsd }: Usage): string {
  const parts: string[] = [];
  if (inputTokens !== null) parts.push(`${formatCount(inputTokens)} tokens in`);
  if (outputTokens !== null) parts.push(`${formatCount(outputTokens)} ${inputTokens === null ? 'tokens ' : ''}out`);
  if (costUsd !== null) parts.push(costText(costUsd));
  return parts.join(' · ');
}
