/**
 * Jobs that print as coding agents do, in the shapes of the recordings in test/agent/transcripts,
 * with a story that a reader of a screenshot understands.
 */

const PRELUDE = `
import { createInterface } from 'node:readline';
const say = (line) => process.stdout.write(JSON.stringify(line) + '\\n');
const session = 'c0cc6f1e-5b1d-4a57-9a51-0b6f2f0c8d11';
let n = 0;
const assistant = (content, parent = null) => say({ type: 'assistant', message: { id: 'msg_' + ++n, role: 'assistant', content }, parent_tool_use_id: parent, session_id: session, uuid: 'u' + n });
const text = (text) => ({ type: 'text', text });
const call = (id, name, input) => ({ type: 'tool_use', id, name, input });
const result = (id, content, { error = false, parent = null, ...more } = {}) => say({ type: 'user', message: { role: 'user', content: [{ type: 'tool_result', tool_use_id: id, content, is_error: error }] }, parent_tool_use_id: parent, session_id: session, uuid: 'r' + id, tool_use_result: error ? content : { stdout: content, ...more } });
const init = () => say({ type: 'system', subtype: 'init', session_id: session, uuid: 'u0', model: 'claude-sonnet-5', cwd: '/srv/web-shop', tools: [] });
const end = (text) => {
  say({ type: 'result', subtype: 'success', is_error: false, result: text, session_id: session, uuid: 'end', usage: { input_tokens: 18420, cache_read_input_tokens: 96210, output_tokens: 2310 }, total_cost_usd: 0.1184, terminal_reason: 'completed' });
  // Claude Code reads on until its stdin ends; this one has nothing more to say.
  process.stdin.destroy();
};
const replies = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const ask = async (id, tool_name, input, more = {}) => {
  say({ type: 'control_request', request_id: id, request: { subtype: 'can_use_tool', tool_name, input, ...more } });
  for (;;) {
    const { value, done } = await replies.next();
    if (done) return null;
    const line = JSON.parse(value);
    if (line.type === 'control_response' && line.response.request_id === id) return line.response.response;
  }
};
`;

/** Fixes a rounding error: reads, plans, edits, asks before it runs the tests, and reports. */
export const taxAgent = `${PRELUDE}
init();
assistant([{ type: 'thinking', thinking: 'Two items give 19.98 where the invoice says 19.99. Probably the sum is rounded, and not each line. I look at the code first.' }]);
assistant([text('I will look at how line totals are rounded.')]);
assistant([call('t1', 'Grep', { pattern: 'toFixed|Math.round', path: 'src/checkout' })]);
result('t1', 'src/checkout/tax.ts:17:  return Math.round(sum * 100) / 100;\\nsrc/checkout/total.ts:8:  return lines.reduce(add, 0).toFixed(2);');
assistant([call('t2', 'Agent', { description: 'Find the callers', prompt: 'Who calls sumWithTax?', subagent_type: 'Explore' })]);
assistant([call('t3', 'Bash', { command: 'rg -l sumWithTax src test' })], 't2');
result('t3', 'src/checkout/total.ts\\ntest/checkout/tax.test.ts', { parent: 't2' });
assistant([text('Two files: **total.ts** and its test.')], 't2');
result('t2', 'Two files call it.');
assistant([text('\`tax.ts\` rounds the **sum**. An invoice rounds each line first:\\n\\n| line | net | rounded |\\n|---|--:|--:|\\n| 1 | 9.995 | 10.00 |\\n| 2 | 9.995 | 10.00 |\\n\\nSo I change one function and run its tests.')]);
assistant([call('t4', 'TodoWrite', { todos: [{ content: 'Find the rounding', status: 'completed', activeForm: 'Finding' }, { content: 'Round each line', status: 'completed', activeForm: 'Rounding' }, { content: 'Run the tests of the checkout', status: 'in_progress', activeForm: 'Running the tests of the checkout' }, { content: 'Report', status: 'pending', activeForm: 'Reporting' }] })]);
result('t4', 'Todos have been modified successfully.');
assistant([call('t5', 'Edit', { file_path: '/srv/web-shop/src/checkout/tax.ts', old_string: 'a', new_string: 'b' })]);
result('t5', 'The file has been updated.', { filePath: '/srv/web-shop/src/checkout/tax.ts', structuredPatch: [{ oldStart: 13, oldLines: 6, newStart: 13, newLines: 7, lines: [' export function sumWithTax(lines: readonly Line[], rate: number): number {', "-  const sum = lines.reduce((total, line) => total + line.net * (1 + rate), 0);", '-  return Math.round(sum * 100) / 100;', '+  const cents = lines.map((line) => Math.round(line.net * (1 + rate) * 100));', '+  const sum = cents.reduce((total, each) => total + each, 0);', '+  return sum / 100;', ' }'] }] });
assistant([call('t6', 'Bash', { command: 'npx vitest run test/checkout', description: 'Run the tests of the checkout' })]);
const said = await ask('ask-1', 'Bash', { command: 'npx vitest run test/checkout', description: 'Run the tests of the checkout' }, { tool_use_id: 't6', permission_suggestions: [{ type: 'addRules', rules: [{ toolName: 'Bash', ruleContent: 'npx vitest:*' }], behavior: 'allow', destination: 'localSettings' }] });
if (said?.behavior === 'allow') {
  result('t6', ' ✓ test/checkout/tax.test.ts (6 tests) 31ms\\n ✓ test/checkout/payment.test.ts (11 tests) 204ms\\n\\n Test Files  2 passed (2)\\n      Tests  17 passed (17)');
  assistant([text('All **17 tests** pass. The rounding now happens per line, as the invoice prints it.\\n\\n\`\`\`sh\\ngit diff --stat\\n\`\`\`')]);
} else {
  result('t6', said?.message ?? 'No answer.', { error: true });
  assistant([text('I leave the tests to you.')]);
}
end('Done.');
`;

/** Asks a question with several choices, and says what was chosen. */
export const askingAgent = `${PRELUDE}
init();
const questions = [{ question: 'Which parts shall I change?', header: 'Parts', multiSelect: true, options: [{ label: 'Tests', description: 'test/checkout' }, { label: 'Docs', description: 'docs/checkout.md' }, { label: 'Code', description: 'src/checkout' }] }];
assistant([call('t1', 'AskUserQuestion', { questions })]);
const said = await ask('ask-2', 'AskUserQuestion', { questions }, { tool_use_id: 't1' });
result('t1', 'answered');
assistant([text('You chose: ' + JSON.stringify(said?.updatedInput?.answers))]);
end('Done.');
`;

/** Prints this many messages and tool calls, each a line; then ends. */
export const longAgent = (events: number): string => `${PRELUDE}
init();
let lines = [];
const flush = async () => { const part = lines.join(''); lines = []; if (!process.stdout.write(part)) await new Promise((go) => process.stdout.once('drain', go)); };
for (let i = 1; i <= ${events}; i += 1) {
  const at = i % 4;
  const line =
    at === 1 ? { type: 'assistant', message: { id: 'm' + i, content: [text('Step **' + i + '**: I look at \`src/part-' + i + '.ts\` and the files that import it.')] } }
    : at === 2 ? { type: 'assistant', message: { id: 'm' + i, content: [call('t' + i, 'Bash', { command: 'rg -n part-' + i + ' src' })] } }
    : at === 3 ? { type: 'user', message: { content: [{ type: 'tool_result', tool_use_id: 't' + (i - 1), content: 'src/index.ts:' + i + ': import part', is_error: false }] }, tool_use_result: { stdout: 'src/index.ts:' + i + ': import part' } }
    : { type: 'assistant', message: { id: 'm' + i, content: [{ type: 'thinking', thinking: 'Part ' + i + ' is small, so the next one is worth a look.' }] } };
  lines.push(JSON.stringify({ ...line, parent_tool_use_id: null, session_id: session, uuid: 'u' + i }) + '\\n');
  if (lines.length === 500) await flush();
}
await flush();
assistant([text('The end of ${events} events.')]);
end('Done.');
`;
