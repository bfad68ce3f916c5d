// What a bundle is made of besides garner: as a bill of materials (CycloneDX), and with the licenses' words.
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import own from '../../package.json' with { type: 'json' };
import { ROOT } from './bundle.ts';

export interface Part {
  name: string;
  version: string;
  license: string;
  /** What its license says, as it came. */
  text: string;
  /** SHA-512 of the package, in hexadecimal, where it came as one. */
  sha512?: string;
}

/**
 * @param inputs of a bundle
 * @returns the packages that they are of, sorted by name
 * @throws where one has no license, or the lock file another
 */
export function partsOf(inputs: readonly string[]): Part[] {
  const directories = new Set(
    inputs.flatMap((file) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file)?.[0] ?? []),
  );
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  return [...directories].sort().map((directory) => {
    const place = join(ROOT, directory);
    const { name, version, author, ...own } = JSON.parse(readFileSync(join(place, 'package.json'), 'utf8'));
    const license = own.license ?? own.licenses?.[0]?.type; // as it was written once
    const integrity = /^sha512-(.+)$/.exec(packages[directory]?.integrity)?.[1];
    if (integrity === undefined) throw new Error(`${directory} is not as package-lock.json has it`);
    if (typeof license !== 'string') throw new Error(`${directory} has no license`);
    const nothing = `Its package has no text of its license. Author: ${author?.name ?? author ?? 'not named'}`;
    const text = licenseText(place) ?? readmeLicense(place) ?? nothing;
    return { name, version, license, text, sha512: Buffer.from(integrity, 'base64').toString('hex') };
  });
}

/** @returns the Node that the single executable is made of; its license names what is in it */
export function nodePart(): Part {
  const directory = dirname(dirname(realpathSync(process.execPath)));
  const text =
    licenseText(directory) ?? `See https://github.com/nodejs/node/blob/${process.version}/LICENSE\n`;
  return { name: 'node', version: process.versions.node, license: 'MIT', text };
}

function licenseText(directory: string): string | undefined {
  const file = readdirSync(directory).find((name) => /^(licen[cs]e|copying)(\.(md|txt))?$/i.test(name));
  return file === undefined ? undefined : readFileSync(join(directory, file), 'utf8');
}

function readmeLicense(directory: string): string | undefined {
  const file = readdirSync(directory).find((name) => /^readme(\.md)?$/i.test(name));
  if (file === undefined) return undefined;
  return /^#+ *licen[cs]e.*/ims.exec(readFileSync(join(directory, file), 'utf8'))?.[0];
}

/** @returns the page for people */
export function notices(parts: readonly Part[]): string {
  const sections = parts.map(
    ({ name, version, license, text }) =>
      `${'-'.repeat(78)}\n${name} ${version} (${license})\n\n${text.trim()}\n`,
  );
  return `garner contains these packages, under their own licenses.\n\n${sections.join('\n')}`;
}

/**
 * @param time of the build
 * @returns a CycloneDX document
 */
export function billOfMaterials(parts: readonly Part[], time: Date): string {
  const component = ({ name, version, license, sha512 }: Part): object => ({
    type: name === 'node' ? 'platform' : 'library',
    'bom-ref': purlOf(name, version),
    name,
    version,
    licenses: [/ (OR|AND|WITH) /.test(license) ? { expression: license } : { license: { id: license } }],
    ...(name === 'node' ? {} : { purl: purlOf(name, version) }),
    ...(sha512 && { hashes: [{ alg: 'SHA-512', content: sha512 }] }),
  });
  const document = {
    $schema: 'http://cyclonedx.org/schema/bom-1.5.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      timestamp: time.toISOString(),
      component: { type: 'application', 'bom-ref': own.name, name: own.name, version: own.version },
    },
    components: parts.map(component),
    dependencies: [{ ref: own.name, dependsOn: parts.map(({ name, version }) => purlOf(name, version)) }],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function purlOf(name: string, version: string): string {
  return `pkg:${name === 'node' ? 'generic' : 'npm'}/${name.replace('@', '%40')}@${version}`;
}
