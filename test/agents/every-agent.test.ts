// No agent without its test: each file of agents/ has one here, and that runs the suite for all of them.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const names = readdirSync(join(import.meta.dirname, '../../agents'))
  .filter((name) => name.endsWith('.ts'))
  .map((name) => name.replace(/\.ts$/, ''));

it.each(names)('agents/%s.ts runs through the contract, and has a command', (name) => {
  const test = readFileSync(join(import.meta.dirname, `${name}.test.ts`), 'utf8');
  expect(test).toContain(`agentContract('${name}'`);
  expect(existsSync(join(import.meta.dirname, `../../bin/agent-${name}`))).toBe(true);
  const source = readFileSync(join(import.meta.dirname, `../../agents/${name}.ts`), 'utf8');
  expect(source).toMatch(/^ {2}testedWith:/m); // docs/agents.md says so
});
