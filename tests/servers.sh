#!/bin/sh
# Install the packages of debian.txt that are missing, where that can be done: with apt-get, as root. Tests start servers
# of their own, so Debian's are kept from starting. Elsewhere tests that need them are skipped, or fail where CI is set.
set -eu
cd "$(dirname "$0")"
command -v apt-get >/dev/null || exit 0
missing=""
for package in $(sed 's/#.*//' debian.txt); do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
    echo "tests that need them will be skipped; missing:$missing (as root: make servers)" >&2
    exit 0
fi
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || true
# shellcheck disable=SC2086  # several words
apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 $missing >/dev/null ||
    echo "these could not be installed, and tests need them:$missing" >&2
