// The Debian package: the single executable under the name of every command, units for systemd, the manual, completion,
// an empty /etc/garner, whose files are the administrator's. Installing it starts nothing; purging it leaves archives and
// settings. The same input gives the same bytes.
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { execa } from 'execa';
import own from '../../package.json' with { type: 'json' };
import { ROOT } from './bundle.ts';
import { bashCompletion, fishCompletion, zshCompletion } from './completion.ts';
import { declarations } from './declarations.ts';
import { manualPage } from './manual.ts';

const MAINTAINER = 'The garner authors <garner@localhost.localdomain>';
/** Debian's names of processors. */
const ARCHITECTURES: Record<string, string> = { x64: 'amd64', arm64: 'arm64' };
/** What an agent runs on every host, besides tar, which each has; the databases' clients are on the hosts that have databases. */
const DEPENDS = 'libc6 (>= 2.28), libgcc-s1 (>= 3.4), libstdc++6 (>= 8), zstd';
const DOCUMENTS = 'docs/*.md';

export interface PackageInput {
  executable: string;
  /** THIRD-PARTY-NOTICES, with Node's. */
  notices: string;
  billOfMaterials: string;
  /** Of the build. */
  time: Date;
}

/** Writes `garner_<version>_<architecture>.deb` into a directory. @returns its name */
export async function buildDebianPackage(input: PackageInput, to: string): Promise<string> {
  const root = mkdtempSync(join(tmpdir(), 'garner-build-'));
  try {
    const put = (path: string, content: string | Buffer, mode = 0o644): void => {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), content, { mode });
    };
    await putCommands(root, put, input);
    putDocuments(put, input);
    for (const unit of globSync('packaging/systemd/*', { cwd: ROOT }).sort()) {
      put(`lib/systemd/system/${basename(unit)}`, readFileSync(join(ROOT, unit)));
    }
    for (const empty of ['etc/garner', 'var/lib/garner']) mkdirSync(join(root, empty), { recursive: true });
    await putControl(root, put);
    chmodSync(root, 0o755); // mkdtemp's are their owner's alone
    chmodSync(join(root, 'etc/garner'), 0o750);
    const name = `garner_${own.version}_${architecture()}.deb`;
    await execa('dpkg-deb', ['--build', '--root-owner-group', '-Zzstd', '-z3', root, join(to, name)], {
      env: { SOURCE_DATE_EPOCH: `${input.time.getTime() / 1000}` },
    });
    return name;
  } finally {
    rmSync(root, { recursive: true });
  }
}

type Put = (path: string, content: string | Buffer, mode?: number) => void;

function architecture(): string {
  const known = ARCHITECTURES[process.arch];
  if (known === undefined) throw new Error(`Debian's name of ${process.arch} is not known`);
  return known;
}

async function putCommands(root: string, put: Put, { executable, time }: PackageInput): Promise<void> {
  put('usr/bin/garner', '');
  cpSync(executable, join(root, 'usr/bin/garner'));
  const all = await declarations();
  for (const one of all) {
    const [name] = one.words as [string];
    if (name !== 'garner') symlinkSync('garner', join(root, 'usr/bin', name));
    put(`usr/share/man/man1/${name}.1.gz`, zipped(manualPage(one, all, time)));
    if (name !== 'garner') link(root, `usr/share/bash-completion/completions/${name}`, 'garner');
    if (name !== 'garner') link(root, `usr/share/fish/vendor_completions.d/${name}.fish`, 'garner.fish');
  }
  put('usr/share/bash-completion/completions/garner', bashCompletion(all));
  put('usr/share/zsh/vendor-completions/_garner', zshCompletion(all));
  put('usr/share/fish/vendor_completions.d/garner.fish', fishCompletion(all));
}

function link(root: string, path: string, to: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  symlinkSync(to, join(root, path));
}

function putDocuments(put: Put, { notices, billOfMaterials, time }: PackageInput): void {
  const doc = 'usr/share/doc/garner';
  for (const file of globSync(DOCUMENTS, { cwd: ROOT }).sort()) {
    put(`${doc}/${basename(file)}`, readFileSync(join(ROOT, file)));
  }
  put(`${doc}/garner.cdx.json`, billOfMaterials);
  put(`${doc}/THIRD-PARTY-NOTICES.gz`, zipped(notices));
  put(
    `${doc}/copyright`,
    `garner is licensed under the Apache License, version 2.0:
/usr/share/common-licenses/Apache-2.0

The licenses of what it contains are in /usr/share/doc/garner/THIRD-PARTY-NOTICES.gz
`,
  );
  const changes = `garner (${own.version}) stable; urgency=medium\n\n  * See CHANGELOG.md of the sources.\n`;
  put(`${doc}/changelog.gz`, zipped(`${changes}\n -- ${MAINTAINER}  ${mailTime(time)}\n`));
}

async function putControl(root: string, put: Put): Promise<void> {
  const { stdout: kibibytes } = await execa('du', ['-sk', '--apparent-size', root]);
  const sums = globSync('**/*', { cwd: root, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((file) => [createHash('md5').update(readFileSync(file)).digest('hex'), file.slice(root.length + 1)]);
  put('DEBIAN/md5sums', sums.map((pair) => `${pair.join('  ')}\n`).join(''));
  for (const script of ['postinst', 'prerm', 'postrm']) {
    put(`DEBIAN/${script}`, readFileSync(join(ROOT, 'packaging/debian', script)), 0o755);
  }
  put(
    'DEBIAN/control',
    `Package: garner
Version: ${own.version}
Architecture: ${architecture()}
Maintainer: ${MAINTAINER}
Installed-Size: ${kibibytes.split('\t')[0]}
Depends: ${DEPENDS}
Recommends: openssh-client
Suggests: age, mariadb-client | default-mysql-client, postgresql-client
Section: admin
Priority: optional
Description: backup of applications that proves that it can be restored
 Agents find the databases and files of an application from its own
 configuration and make one archive of them; notify tells how it went; the
 archiver fetches, verifies, keeps and restores the archives of many hosts.
 .
 It contains its own Node.js.
`,
  );
}

/** gzip notes no name and no time. */
const zipped = (text: string): Buffer => gzipSync(text, { level: 9 });

function mailTime(time: Date): string {
  return time.toUTCString().replace('GMT', '+0000');
}
