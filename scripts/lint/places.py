# SPDX-License-Identifier: Apache-2.0
"""Nothing in the tree names one machine: no host of a package registry, no path of somebody's home or checkout."""
import os
import re
import subprocess

import tree

REGISTRIES = re.compile(
    r'(?:[\w-]+\.)*(?:debian\.(?:org|net)|pypi\.org|pythonhosted\.org|maven\.org|npmjs\.(?:com|org)|docker\.io|ghcr\.io|quay\.io|'
    r'golang\.org|crates\.io|rubygems\.org|gcr\.io|pkg\.dev)\b', re.IGNORECASE)
PATHS = re.compile(r'(?<![\w./$}-])/(?:work|root|home/\w+|Users/\w+)/')
ADDRESS = re.compile(r'(?<![\w.])(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?![\w.])')
# Loopback, any, and the networks that documentation may name (RFC 5737, RFC 1918).
HARMLESS = re.compile(r'^(127\.|0\.0\.0\.0$|255\.255\.255\.255$|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|192\.0\.2\.|198\.51\.100\.|203\.0\.113\.)')


def machine_hosts():
    """The mirrors of this machine's own apt configuration, which must not leak into the tree."""
    try:
        text = subprocess.run(['apt-get', 'indextargets', '--format', '$(SITE)'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, check=False).stdout
    except OSError:
        return set()
    return {re.sub(r'^\w+://', '', line).split('/')[0].split(':')[0] for line in text.splitlines() if line.strip()}


def check_line(path, number, line, hosts):
    """The findings of one line."""
    for match in list(REGISTRIES.finditer(line)) + list(PATHS.finditer(line)):
        yield tree.finding(path, number, f'names a place: {match.group(0)}')
    for match in ADDRESS.finditer(line):
        if all(int(part) < 256 for part in match.groups()) and not HARMLESS.match(match.group(0)):
            yield tree.finding(path, number, f'names an address: {match.group(0)}')
    for host in hosts:
        if host and host in line and not REGISTRIES.search(line):
            yield tree.finding(path, number, f'names the mirror of this machine: {host}')


def check(root):
    """All findings of the tree."""
    found = []
    hosts = machine_hosts()
    for path in tree.files(root):
        if path.startswith(os.path.join('scripts', 'lint', 'places')) or path == 'LICENSE':
            continue
        for number, line in enumerate(tree.read(root, path), 1):
            found += check_line(path, number, line, hosts)
    return found


CLEAN = {'README.md': 'bootstrap 127.0.0.1:9092, version 0.22.1, broker.work/file, $HOME/work/x, see 192.0.2.7\n'}

PLANTED = [
    ('a registry', {'scripts/x': 'curl http://deb.' + 'debian.org/debian\n'}, 'debian.org'),
    ('a path of one machine', {'a.c': '/* see /wo' + 'rk/main/a */\n'}, 'names a place'),
    ('a home folder', {'a.py': 'open("/ho' + 'me/somebody/x")\n'}, 'names a place'),
    ('an address', {'a.yml': 'server: 8.8' + '.4.4\n'}, 'names an address'),
]
