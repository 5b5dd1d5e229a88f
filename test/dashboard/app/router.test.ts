/** URLs of the page: which page they mean, and which clicks the page follows itself. */

import { describe, expect, it } from 'vitest';
import {
  changedQuery,
  executionPath,
  isPlainClick,
  pageKey,
  parseRoute,
  sessionPath,
  titleOf,
} from '../../../dashboard/src/app/router.ts';
import { ownScriptUrl } from '../../../dashboard/src/app/trusted-types.ts';

describe('parseRoute', () => {
  it.each([
    ['/', { page: 'sessions' }],
    ['/sessions', { page: 'sessions' }],
    ['/sessions/', { page: 'sessions' }],
    ['/sessions/s1', { page: 'session', session: 's1' }],
    ['/sessions/s1/', { page: 'session', session: 's1' }],
    ['/sessions/a%3Ab', { page: 'session', session: 'a:b' }],
    ['/sessions/s1/executions/e.1', { page: 'execution', session: 's1', execution: 'e.1' }],
    ['/sessions/s1/executions', { page: 'not-found' }],
    ['/sessions/s1/executions/e1/log', { page: 'not-found' }],
    ['/sessions/%2e%2e', { page: 'not-found' }],
    ['/sessions/-x', { page: 'not-found' }],
    ['/sessions/a%2Fb', { page: 'not-found' }],
    [`/sessions/${'a'.repeat(129)}`, { page: 'not-found' }],
    ['/sessions/%E0%A4%A', { page: 'not-found' }],
    ['//sessions/s1', { page: 'not-found' }],
    ['/runners', { page: 'runners' }],
    ['/runners/', { page: 'runners' }],
    ['/runners/gpu', { page: 'not-found' }],
    ['/settings', { page: 'not-found' }],
  ])('%s', (path, route) => {
    expect(parseRoute(path)).toEqual(route);
  });

  it('reads every path that is built here', () => {
    expect(parseRoute(sessionPath('a:b.c-d_e'))).toEqual({ page: 'session', session: 'a:b.c-d_e' });
    expect(parseRoute(executionPath('s:1', 'e:1'))).toEqual({ page: 'execution', session: 's:1', execution: 'e:1' });
  });
});

it('a page has a title of its own, and a place of its own', () => {
  const paths = ['/', '/sessions/a', '/sessions/a/executions/b', '/sessions/b', '/runners', '/x'];
  const routes = paths.map(parseRoute);
  expect(new Set(routes.map(titleOf)).size).toBe(paths.length);
  expect(new Set(routes.map(pageKey)).size).toBe(paths.length);
});

describe('changedQuery', () => {
  it('replaces, adds and removes, and keeps all other parameters', () => {
    expect(changedQuery('?show=stdout&q=a', { q: 'b', wrap: '1' })).toBe('?show=stdout&q=b&wrap=1');
    expect(changedQuery('?status=failed', { status: null })).toBe('');
    expect(changedQuery('', { show: 'stdout,stderr' })).toBe('?show=stdout,stderr');
    expect(changedQuery('?a=1', { nothing: null })).toBe('?a=1');
  });

  it('carries any text unharmed', () => {
    const text = 'a&b=c#d %2C+ü';
    expect(new URLSearchParams(changedQuery('', { q: text })).get('q')).toBe(text);
  });
});

describe('isPlainClick', () => {
  const click = { button: 0, metaKey: false, ctrlKey: false, shiftKey: false, altKey: false, defaultPrevented: false };
  const link = { origin: 'https://h.example', pathname: '/sessions/a', target: '', download: false };
  const follows = (event: object = {}, of: object = {}) =>
    isPlainClick({ ...click, ...event }, { ...link, ...of }, 'https://h.example');

  it('follows a plain click on a link of its own', () => {
    expect(follows()).toBe(true);
  });

  it.each([
    ['the middle button', { button: 1 }, {}],
    ['Ctrl', { ctrlKey: true }, {}],
    ['Cmd', { metaKey: true }, {}],
    ['Shift', { shiftKey: true }, {}],
    ['somebody took it', { defaultPrevented: true }, {}],
    ['another origin', {}, { origin: 'https://other.example' }],
    ['a new tab', {}, { target: '_blank' }],
    ['a download', {}, { download: true }],
    ['the API', {}, { pathname: '/v1/sessions/a' }],
    ['the OpenAPI document', {}, { pathname: '/openapi.json' }],
  ])('leaves to the browser: %s', (_what, event, of) => {
    expect(follows(event, of)).toBe(false);
  });
});

it('only a script of this build may become a worker', () => {
  const origin = 'https://h.example';
  for (const url of ['/assets/worker-abc123.js', 'https://h.example/assets/worker-abc123.js'])
    expect(ownScriptUrl(url, origin)).toBe(url);
  for (const url of [
    'https://evil.example/assets/a.js',
    '//evil.example/assets/a.js',
    '/v1/sessions',
    'data:text/javascript,1',
    'blob:https://h.example/1',
  ])
    expect(() => ownScriptUrl(url, origin)).toThrow(TypeError);
});
