/**
 * The OpenAPI 3.1 description, generated from the table of routes and the schemas that check
 * requests. JSON Schema cannot express some limits (bytes of UTF-8, sums over several fields);
 * these are in PROTOCOL.md and docs/http-api.md. So a request that this description allows may
 * still be refused, and a request that it forbids is always refused.
 *
 * Not hono-openapi: its validator adds a 400 of its own, it does not describe the pattern of path
 * parameters, and everything in operations.ts would still have to be written.
 */

import * as z from 'zod';
import { ID_PATTERN, PROBLEMS, type ProblemCode } from '../../../protocol/index.ts';
import type { Group } from '../routes.ts';
import { problemAnswer } from './answers.ts';
import { OPERATIONS, type Operation } from './operations.ts';

type Json = { [key: string]: unknown };

const TAGS = {
  executions: 'Start, watch over and stop runs of commands.',
  sessions: 'What holds executions and their one log.',
  reading: 'Follow and resume; every reader uses the same offsets.',
  ingest: 'For wrappers.',
  pools: 'Groups of runners that dial in, and the keys of these runners.',
  service: 'The deployment itself.',
} satisfies Record<Operation['tag'], string>;

const SECURITY: Record<Group, Json[]> = {
  public: [],
  key: [{ apiKey: [] }],
  reader: [{ apiKey: [] }, { ticket: [] }, { ticketInQuery: [] }],
  actor: [{ apiKey: [] }, { ticket: [] }],
  ingest: [{ ingestToken: [] }],
  runner: [{ runnerKey: [] }],
};

/** `version`: of the deployment. */
export function describeApi(version: string): Json {
  const paths: Record<string, Json> = {};
  for (const operation of OPERATIONS) {
    paths[operation.path] ??= pathItem(operation.path);
    Object.assign(paths[operation.path] as Json, { [operation.method]: describe(operation) });
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Holdfast',
      version,
      summary: 'Runs long jobs and never loses a line of them.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      schemas: components(),
      securitySchemes: {
        apiKey: { type: 'http', scheme: 'bearer', description: "A tenant's API key." },
        ticket: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'A ticket of the session.' },
        ticketInQuery: { type: 'apiKey', in: 'query', name: 'ticket', description: 'The same, where no header can be sent.' },
        runnerKey: { type: 'http', scheme: 'bearer', description: 'A key of a runner of this pool (`hfr_…`).' },
        ingestToken: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT', description: 'The token that came with the start.' },
      },
    },
  };
}

function pathItem(path: string): Json {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  if (names.length === 0) return {};
  const schema = { type: 'string', pattern: ID_PATTERN.source };
  return { parameters: names.map((name) => ({ name, in: 'path', required: true, schema })) };
}

function describe({ id, tag, summary, description, group, parameters, body, answers, problems }: Operation): Json {
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description ? { description } : {}),
    security: SECURITY[group],
    ...(parameters ? { parameters } : {}),
    ...(body
      ? { requestBody: { required: body.required, content: { 'application/json': { schema: schemaOf(body.schema) } } } }
      : {}),
    responses: { ...describeAnswers(answers), ...describeProblems(problems) },
  };
}

function describeAnswers(answers: Operation['answers']): Json {
  return Object.fromEntries(
    Object.entries(answers).map(([status, { description, schema, mediaType }]) => {
      if (!schema && !mediaType) return [status, { description }];
      const media = schema ? { schema: schemaOf(schema) } : {};
      const types = [mediaType ?? 'application/json'].flat();
      return [status, { description, content: Object.fromEntries(types.map((type) => [type, media])) }];
    }),
  );
}

/** One answer for each status; several codes may share one. */
function describeProblems(codes: readonly ProblemCode[]): Json {
  const byStatus = Map.groupBy(codes, (code) => PROBLEMS[code].status);
  const content = { 'application/problem+json': { schema: schemaOf(problemAnswer) } };
  const answers = [...byStatus].map(([status, same]) => [
    status,
    { description: same.map((code) => `\`${code}\`: ${PROBLEMS[code].title}.`).join(' '), content },
  ]);
  return { ...Object.fromEntries(answers), default: { description: 'Any other problem.', content } };
}

const reference = (name: string): string => `#/components/schemas/${name}`;

/** Every schema that has an id, each once; they refer to each other. */
function components(): Json {
  const { schemas } = z.toJSONSchema(z.globalRegistry, { unrepresentable: 'any', uri: reference });
  return Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, bare(schema)]));
}

function schemaOf(schema: z.ZodType): Json {
  const name = z.globalRegistry.get(schema)?.id;
  return name === undefined ? bare(z.toJSONSchema(schema, { unrepresentable: 'any' })) : { $ref: reference(name) };
}

/** The dialect is the document's, and a component's name is its key. */
const bare = ({ $schema: _dialect, $id: _address, id: _name, ...schema }: Json): Json => schema;
