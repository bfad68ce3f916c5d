// What can be said of the roles without ansible: their variables are documented, and none is used that there is not. Real ansible plays
// them in fleet.play.ts.
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { moduleNames } from '../../lib/modules.ts';

const ANSIBLE = join(import.meta.dirname, '../../ansible');
const read = (path: string): string => readFileSync(join(ANSIBLE, path), 'utf8');
const load = (path: string): Record<string, unknown> => parse(read(path));
const namesIn = (text: string): string[] => [...text.matchAll(/\bgarner_[a-z_]+/g)].map(([name]) => name);

type Options = Record<
  string,
  { description?: string; default?: unknown; choices?: string[]; options?: Options }
>;
const ROLES = globSync('roles/*', { cwd: ANSIBLE }).map((path) => basename(path));
const optionsOf = (role: string): Options =>
  (load(`roles/${role}/meta/argument_specs.yml`) as { argument_specs: { main: { options: Options } } })
    .argument_specs.main.options;
/** At hosts, for the archiver that reads them there; facts; filters. */
const ELSEWHERE = [
  'garner_address',
  'garner_port',
  'garner_archiver_options',
  'garner_agents',
  'garner_archivers',
  'garner_archiver_public_key',
  'garner_fingerprint',
];

describe.each(ROLES)('the role %s', (role) => {
  const own = optionsOf(role);

  it('describes each variable that has a default, with that default', () => {
    for (const [name, value] of Object.entries(load(`roles/${role}/defaults/main.yml`))) {
      expect(own[name]?.description, name).toMatch(/\.$/);
      if (own[name]?.default !== undefined) expect(own[name].default, name).toEqual(value);
    }
  });

  it('uses no variable that is described nowhere', () => {
    const known = [...ROLES.flatMap((one) => Object.keys(optionsOf(one))), ...ELSEWHERE];
    const files = globSync(`roles/${role}/{tasks,templates,vars,handlers}/*`, { cwd: ANSIBLE });
    expect(files.length).toBeGreaterThan(2);
    for (const file of files) {
      for (const name of namesIn(read(file))) expect(known, `${file}: ${name}`).toContain(name);
    }
  });
});

it('knows the applications that there are agents for, and refuses others before the role does anything', () => {
  const { name } = optionsOf('agent').garner_agent_applications?.options ?? {};
  expect(name?.choices).toEqual(moduleNames('agents').sort());
});

it('has an example and a page that name no variable that there is not', () => {
  const known = [...ROLES.flatMap((one) => Object.keys(optionsOf(one))), ...ELSEWHERE];
  const files = [...globSync('inventory/**/*.yml', { cwd: ANSIBLE }), 'site.yml', '../docs/ansible.md'];
  for (const file of files) {
    for (const name of namesIn(read(file).replace(/garner_\d[\w.]*deb|garner_<\w+>/g, ''))) {
      expect(known, `${file}: ${name}`).toContain(name);
    }
  }
});
