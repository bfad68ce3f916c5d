// docs/archiver-yaml.md: every key of archiver.yaml, as the schema that reads it describes it.
import { z } from 'zod';
import { configurationSchema } from '../../archiver/configuration-schema.ts';
import { GENERATED, table } from './table.ts';

interface YamlKey {
  default?: unknown;
  description?: string;
}

interface YamlSchema {
  properties: Record<string, YamlKey>;
  required?: string[];
}

/** @throws for a key that says nothing of itself */
function yamlTable({ properties, required = [] }: YamlSchema): string {
  const rows = Object.entries(properties).map(([key, { default: value, description }]) => {
    if (description === undefined) throw new Error(`the key ${key} of archiver.yaml has no description`);
    const isShown = value !== undefined && typeof value !== 'object';
    return [`\`${key}\``, required.includes(key) ? 'needed' : isShown ? `\`${value}\`` : '', description];
  });
  return table(['key', 'default', 'meaning'], rows);
}

/** @returns the page */
export function archiverYamlPage(): string {
  const whole = z.toJSONSchema(configurationSchema, { io: 'input' }) as YamlSchema;
  const ofEach = (key: string) =>
    (whole.properties[key] as { additionalProperties: YamlSchema }).additionalProperties;
  return `# archiver.yaml

${GENERATED}

What the archiver reads, from \`/etc/garner/archiver.yaml\`, the directory that \`GARNER_CONFIG_DIR\` names, or the file that \`--config\`
names. An example, and what each does: [archiver.md](archiver.md#archiveryaml). A key that is not here, one given twice, and a
value out of range are errors that name file and key; \`garner config check\` finds them. With a password in a URL, nobody else
may read the file.

Durations are written as \`12h\`, \`1d\`, \`4w\`, sizes as \`500MB\`, \`50GB\`. A bandwidth is \`20MB/s\`, or by local time
\`{limit: 20MB/s, "08:00-18:00": 2MB/s, "22:00-06:00": unlimited}\`.

${yamlTable(whole)}

## Each of \`hosts\`

${yamlTable(ofEach('hosts'))}

## Each of \`push\`

${yamlTable(ofEach('push'))}

## \`retention\`

What any of these keeps, stays; at least one but \`minimum\` is needed. Per host, application and instance; only good archives count
([archiver.md](archiver.md#retention)).

${yamlTable(whole.properties.retention as YamlSchema)}
`;
}
