#!/bin/sh
# Runs a program as root, or by passwordless sudo, with this PATH. The tests need it: they mount, chroot and run postfix.
if [ "$(id -u)" = 0 ]; then
  exec "$@"
fi
if sudo -n true 2>/dev/null; then
  exec sudo -n env PATH="$PATH" CI="${CI:-}" "$@"
fi
echo "test: cannot run $1 without root or passwordless sudo: sudo make test" >&2
exit 1
