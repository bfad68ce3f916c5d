// The fault matrix: what must keep holding when things break. The tests that break them carry a row's id at the start of
// their title, wherever they stand; `make faults` runs them row by row and writes docs/faults.md.

/** What each row checks, as far as it applies. */
export const INVARIANTS = {
  I1: 'no lie: success is said only of an archive that exists, matches its digest and restores',
  I2: 'no partials: nothing incomplete under a final name; leftovers are ignored and swept by the next run',
  I3: 'last good: an application never has fewer verified archives than min(minimum, what it had)',
  I4: 'delete last: the source copy goes only after the other copy, its digest and the catalog are on disk',
  I5: 'loud: a failure has a non-zero exit and one message with application, host and cause',
  I6: 'no leak: no secret in arguments, environment, logs, mail, manifest or files left behind',
  I7: 'bounded: time, memory, disk and log size have limits',
  I8: 'isolated: one bad host or application neither delays nor changes the others',
  I9: 'contained: nothing is read or written outside the configured roots; foreign names are harmless',
  I10: 're-runnable: after any crash the next run succeeds without a manual step',
} as const;

export type Invariant = keyof typeof INVARIANTS;

/** What a row can need of the machine. */
export type Need = 'root' | 'loop' | 'strace' | 'faketime' | 'mariadb' | 'postgres' | 'sshd';

export interface FaultRow {
  id: `F${number}`;
  title: string;
  mustHold: string;
  invariants: readonly Invariant[];
  needs: readonly Need[];
  /** What garner does not have yet and the row is about. */
  waitsFor?: string;
}

/** id | fault | must hold | what it checks | what it needs of the machine | what it waits for */
const TABLE = `
F01 | mariadbd killed mid-dump | failed, the cause named | I1 I2 I5 | mariadb
F02 | PostgreSQL backend killed mid-dump | failed | I1 I2 I5 | postgres
F03 | dump client prints everything, then exits 2 | failed, even with the trailer | I1 I2 I5
F04 | dump client exits 0 with truncated output | failed | I1 I2 I5
F05 | account without rights on one table | failed, or a warning that names it | I1 I5
F06 | trailer variants | valid ones pass; \`--compact\` refused at configuration | I1 I5
F07 | broken view or definer | view named; failed, or a warning where the dump has it whole | I1 I2 I5
F08 | zero-byte dump, exit 0 | failed | I1 I2 I5
F09 | dump hangs on a lock | time limit, process group killed, no orphan | I2 I5 I7
F10 | wrong password, server down, client missing | exit 1, one clear line, no archive | I2 I5
F11 | attachment grows, shrinks, vanishes while copied | warning, or retry then failure | I1 I5
F12 | unreadable file, EIO | listed, never silent | I1 I5 | strace
F13 | hostile names, fifo, socket, sparse file, long path | round trip equal; no hang | I1 I7 I9
F14 | version probe fails or prints garbage | "unknown" with a warning; backup kept | I5
F15 | disk full at any point | failed; partial removed | I1 I2 I3 I5 | root
F16 | disk full only for the checksum file | no archive without a checksum | I1 I2 I5
F17 | EIO from fsync | failed | I1 I2 I5 | strace
F18 | SIGKILL at every system call that changes files | as before or as after | I2 I3 I10 | strace
F19 | SIGTERM, SIGINT, SIGHUP mid-run | children and leftovers gone, exit 128+n | I2 I5
F20 | agent killed, dump child survives | it doesn't, or the next run deals with it | I2 I10
F21 | power cut at each step of publishing | final name: complete, else absent | I1 I2 I10 | root loop
F22 | order regression | fsync(file) < rename < fsync(directory); checksum first | I1 I2 | strace
F23 | 20 agents of one application at once | one archive; the rest say "locked" | I2 I7
F24 | stale lock | taken over once; a live one never | I10
F25 | same-second names | two archives, nothing overwritten | I3
F26 | clock back, forward, 1970 | nothing overwritten; prune refuses | I3 I5 | faketime
F27 | DST both ways, zone changed between runs | UTC names; one daily a day | I3 | faketime
F28 | read-only, linked or foreign work directory, umask 000 | refused; 0600, 0700 | I5 I6 I9
F29 | 20 file descriptors, 64 MB heap, 2 GB dump | works or fails cleanly; memory flat | I1 I5 I7
F30 | transfer cut at a random byte | \`.part\` only; next poll gets it | I2 I4 I10 | sshd
F31 | resume onto a corrupt prefix | caught; fetched again | I1 I10 | sshd
F32 | source file changes during the pull | not archived, not deleted; later | I1 I4
F33 | host key changed or unknown | refused before authentication, both named | I5 I6 | sshd
F34 | host never speaks, 1 byte/s, stopped | time limits; others unaffected | I5 I7 I8 | sshd
F35 | of 1000 hosts, 1 down and 50 hanging | others on time; one message | I5 I7 I8 | sshd
F36 | source can't be deleted after the pull | kept, retried, pulled once | I4 I5 | sshd
F37 | bit flipped before the pull, after it, at rest | detected; quarantined; source kept | I1 I3 I4 I5
F38 | checksum file missing, empty, malformed | wait then alarm; never "none is fine" | I1 I5
F39 | compromised host floods newer garbage | retention by received time, quota, alarm | I3 I5 I7
F40 | killed between verify and delete | next poll deletes; no duplicate | I4 I10
F41 | killed or power cut while the catalog is written | old or new; rebuildable | I4 I10 | root loop
F42 | catalog corrupt, lost, older copy | detected; rebuilt; no prune before | I3 I5 I10
F43 | newest archive corrupt, then prune | does not count; the good one stays | I3
F44 | 30 failing days | never below the minimum | I3
F45 | \`keep: 0\`, negative, unknown key, wrong unit | refused with key and file | I3 I5
F46 | prune against pull, restore, scrub | files in use stay | I3
F47 | archive disk full or not mounted | no source deletion; not "all lost" | I3 I4 I5 | root
F48 | hostile names from a host | never a path, a shell, a terminal | I9 | sshd
F49 | symlink, fifo, device, directory named as an archive | regular files only; no hang | I7 I9
F50 | a million names, endless listing, absurd size or time | caps; host marked bad | I5 I7 I8
F51 | manifest of 1 GB, deep nesting, foreign identity | refused | I7 I9
F52 | tar bomb, path traversal, setuid, links outward | contained; caps | I7 I9
F53 | SMTP down, 4xx, 5xx, hangs, drops after DATA | queued, retried; exit code unchanged | I5
F54 | STARTTLS stripped, bad certificate | no credentials in the clear; loud | I5 I6
F55 | child ignores SIGTERM; grandchild keeps stdout | TERM, grace, KILL of the group | I5 I7
F56 | child prints 1 GB, one 200 MB line, binary, ANSI | memory flat; head and tail | I7 I9
F57 | child prints secrets; CR LF in names | redacted; headers sane | I6 I9
F58 | child missing, not executable, killed | 127, 126, 137; never "ok" | I1 I5
F59 | no run at all | noticed and sent | I5 | faketime
F60 | secret in ps, environment, leftovers | none, sampled every few ms | I6
F61 | configuration readable by others, wrong, duplicate | refused with path and remedy | I5 I6
F62 | S3: 500, 503, reset, 200 with error XML | retried, then failed | I1 I2 I5
F63 | multipart killed, completion times out | aborted or swept; idempotent | I2 I10
F64 | clock skew, credentials expired mid-run | clear message; no loop | I5 I7
F65 | versions, delete markers, hostile keys | exact map; gone ones listed first | I1 I9
F66 | gc against restore; restore interrupted | versions of kept points stay | I3 I10
F67 | restic hangs, locked, partial, garbage | each mapped; unknown is failure | I1 I5 I7 |  | the supervisor
F68 | daemon killed mid-job; queue corrupt | "interrupted"; schedules fire once | I1 I10 |  | the supervisor
F69 | API: no token, CSRF, rebinding, 1 GB body | refused; others served | I6 I7 I8 I9 |  | the supervisor
F70 | XSS through logs, names, hooks | shown as text | I9 |  | the supervisor
F71 | watcher storm, log flood | coalesced; bounded | I7 |  | the supervisor
F72 | restore after everything was wiped | identical | I1 I10 | mariadb postgres
F73 | random walk of writes, pulls, kills, flips, fills | all of it; the seed printed | I1 I2 I3 I4 I5
`;

export const FAULT_ROWS: readonly FaultRow[] = TABLE.trim()
  .split('\n')
  .map((line) => {
    const [id, title, mustHold, invariants, needs, waitsFor] = line.split('|').map((cell) => cell.trim());
    const words = (cell = ''): string[] => cell.split(' ').filter((word) => word !== '');
    return {
      id: id as FaultRow['id'],
      title: title as string,
      mustHold: mustHold as string,
      invariants: words(invariants) as Invariant[],
      needs: words(needs) as Need[],
      ...(waitsFor !== undefined && { waitsFor }),
    };
  });
