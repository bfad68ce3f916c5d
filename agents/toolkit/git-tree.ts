// In which order a git repository is read so that the copy is whole while others push, pack and prune: what names objects
// (refs, reflogs, the index) first, loose objects later, packs last, over all repositories of a tree, for they may borrow
// from each other. Objects never change: a file of them that vanishes has gone into a pack that is there by then.
// Left out is what git makes anew or what belongs to a process that is at work: locks, unfinished objects, commit graphs,
// multi-pack indexes.

/** Where a directory lies: in no repository, in one, in its objects, in its packs. */
export type GitPlace = 'outside' | 'repository' | 'objects' | 'packs' | 'info';

export interface GitOrder {
  /** Whether the directory is a repository itself: bare, or `.git`. */
  isRepository: boolean;
  /** What is read now; a name need not exist. */
  now: string[];
  /** What is read when all other repositories have come so far. */
  later: string[];
}

/** Whether a directory with these names is a repository, as git tells. */
export const isRepository = (names: readonly string[]): boolean =>
  ['HEAD', 'objects', 'refs'].every((name) => names.includes(name));

/** What names objects, and moves from one file to the other: a ref that leaves `refs` is in `packed-refs` by then. */
const REF_STORES = ['refs', 'reftable', 'packed-refs', 'HEAD'];

const LEFT_OUT: Record<Exclude<GitPlace, 'outside'>, RegExp> = {
  repository: /\.lock$|^gc\.pid$/,
  objects: /\.lock$|^(tmp_|incoming-)/,
  packs: /\.lock$|^(tmp_|\.tmp-|multi-pack-index)/,
  info: /^commit-graphs?(\.lock)?$/,
};

/**
 * @param place where the directory lies
 * @param names what is in it, sorted
 */
export function gitOrder(place: GitPlace, names: readonly string[]): GitOrder {
  if (isRepository(names)) {
    const others = names.filter(
      (name) => ![...REF_STORES, 'objects'].includes(name) && !LEFT_OUT.repository.test(name),
    );
    return { isRepository: true, now: [...REF_STORES, ...others], later: ['objects'] };
  }
  const kept = place === 'outside' ? [...names] : names.filter((name) => !LEFT_OUT[place].test(name));
  const later: string[] = place === 'objects' ? kept.filter((name) => name === 'pack') : [];
  return { isRepository: false, now: kept.filter((name) => !later.includes(name)), later };
}

/** @returns where what is called so in a directory lies */
export function gitPlaceOf(place: GitPlace, isRepository: boolean, name: string): GitPlace {
  if (isRepository) return name === 'objects' ? 'objects' : name === 'hooks' ? 'outside' : 'repository';
  if (place === 'objects') return name === 'pack' ? 'packs' : name === 'info' ? 'info' : 'objects';
  return place;
}

/** @returns the repository that a path lies in, among those given; undefined: in none */
export function repositoryOf(path: string, repositories: ReadonlySet<string>): string | undefined {
  for (let at = path; at !== ''; at = at.slice(0, Math.max(0, at.lastIndexOf('/')))) {
    if (repositories.has(at)) return at;
  }
  return repositories.has('.') ? '.' : undefined;
}

/** @returns whether the path is one of those that name a repository's objects */
export function isRefStore(path: string, repository: string): boolean {
  const below = repository === '.' ? path : path.slice(repository.length + 1);
  return REF_STORES.includes(below.split('/')[0] as string);
}

/** @returns whether a file that changes while it is read is copied well enough: lines are added, bytes never change */
export function maySafelyChange(path: string, repository: string): boolean {
  const below = repository === '.' ? path : path.slice(repository.length + 1);
  return /^(objects|logs)\//.test(below);
}
