# SPDX-License-Identifier: Apache-2.0
"""Reads the .kschema text form (README.md) into plain objects. Every mistake ends the build with file and line."""
import re

FIXED = {'bool': 1, 'int8': 1, 'int16': 2, 'uint16': 2, 'int32': 4, 'uint32': 4, 'int64': 8, 'float64': 8, 'uuid': 16}
VARIABLE = {'string', 'bytes', 'records'}
ARRAY_ELEMENTS = {'int8', 'int16', 'int32', 'int64', 'string'}
NEVER = 32767


class SchemaError(Exception):
    pass


class Range:
    """Versions first..last, both included."""

    def __init__(self, first, last):
        self.first, self.last = first, last

    def __eq__(self, other):
        return (self.first, self.last) == (other.first, other.last)

    def __contains__(self, version):
        return self.first <= version <= self.last

    def __iter__(self):
        return iter(range(self.first, self.last + 1))

    def covers(self, other):
        return self.first <= other.first and other.last <= self.last


class Field:
    def __init__(self, name, type_name, is_array, versions):
        self.name, self.type, self.is_array, self.versions = name, type_name, is_array, versions
        self.nullable = None   # Range or None
        self.default = None    # None: zero or empty; 'null'; int; True
        self.tag = None
        self.ignorable = False
        self.doc = ''
        self.struct = None     # Struct, when the type is one

    def is_struct(self):
        return self.struct is not None and not self.is_array

    def is_null_default(self):
        return self.default == 'null'


class Struct:
    def __init__(self, name, versions):
        self.name, self.versions, self.fields = name, versions, []


class Message:
    """One direction of an API, or one half of a record: all structs in an order in which each comes after those it uses, the root last."""

    def __init__(self, api, kind):
        self.api, self.kind = api, kind
        self.name = 'kafka_%s_%s' % (api.name, kind)
        self.structs = []
        self.root = None

    def c_name(self, struct):
        return self.name if struct is self.root else '%s_%s' % (self.name, struct.name)


class Api:
    """An API (request and response), or a record of a coordinator's log (key and value, kinds[0] and kinds[1])."""

    def __init__(self, key, title, versions, flexible_from, kinds=('request', 'response')):
        self.key, self.title, self.versions, self.flexible_from, self.kinds = key, title, versions, flexible_from, kinds
        self.name = snake(title)
        self.doc, self.request, self.response = [], None, None

    def of_kind(self, kind):
        """What a message of that kind belongs to: a record's key has one version, its type, and is never flexible."""
        return Api(self.key, self.title, Range(self.key, self.key), NEVER, self.kinds) if kind == 'key' else self


def snake(title):
    text = re.sub(r'([a-z0-9])([A-Z])', r'\1_\2', title)
    return re.sub(r'([A-Z]+)([A-Z][a-z])', r'\1_\2', text).lower()


def parse_range(text, within):
    """`4+`, `-7`, `4-7` or `4`, inside `within`."""
    match = re.fullmatch(r'(\d+)\+|-(\d+)|(\d+)-(\d+)|(\d+)', text)
    if not match:
        raise SchemaError('not a version range: ' + text)
    from_on, up_to, first, last, single = match.groups()
    if from_on:
        result = Range(int(from_on), within.last)
    elif up_to:
        result = Range(within.first, int(up_to))
    elif single:
        result = Range(int(single), int(single))
    else:
        result = Range(int(first), int(last))
    if result.first > result.last or not within.covers(result):
        raise SchemaError('versions %s lie outside %d-%d' % (text, within.first, within.last))
    return result


def is_range(word):
    return re.fullmatch(r'\d+\+|-\d+|\d+-\d+|\d+', word) is not None


def parse_default(word):
    if word == 'null':
        return 'null'
    if word == 'true':
        return True
    return int(word)


def parse_field(line, within):
    """`name type [versions] [null [versions]] [= default] [tag n] [ignorable] [# text]`"""
    text, _, doc = line.partition('#')
    words = text.split()
    if len(words) < 2:
        raise SchemaError('a field needs a name and a type')
    name, type_name = words[0], words[1]
    is_array = type_name.startswith('[]')
    rest = words[2:]
    versions = within
    if rest and is_range(rest[0]):
        versions = parse_range(rest.pop(0), within)
    field = Field(name, type_name[2:] if is_array else type_name, is_array, versions)
    field.doc = doc.strip()
    while rest:
        word = rest.pop(0)
        if word == 'null':
            field.nullable = parse_range(rest.pop(0), versions) if rest and is_range(rest[0]) else versions
        elif word == '=':
            field.default = parse_default(rest.pop(0))
        elif word == 'tag':
            field.tag = int(rest.pop(0))
        elif word == 'ignorable':
            field.ignorable = True
        else:
            raise SchemaError('unknown word: ' + word)
    check_field(field)
    return field


def check_field(field):
    if not re.fullmatch(r'[a-z][a-z0-9_]*', field.name):
        raise SchemaError('bad field name: ' + field.name)
    if field.is_array and field.type in (set(FIXED) | VARIABLE) - ARRAY_ELEMENTS:
        raise SchemaError('arrays of %s are not supported' % field.type)
    if field.is_null_default() and field.nullable is None:
        raise SchemaError('%s: default null needs a nullable field' % field.name)
    if field.nullable is not None and field.type in FIXED and not field.is_array:
        raise SchemaError('%s: %s cannot be null' % (field.name, field.type))


class MessageParser:
    """Builds a Message from lines of (number, indent, text)."""

    def __init__(self, message):
        self.message, self.shared, self.used = message, {}, set()

    def parse(self, lines):
        root = Struct('', self.message.api.versions)
        self.message.root = root
        self.parse_all(root, lines, 4)
        self.message.structs.append(root)
        return self.message

    def parse_all(self, struct, lines, indent):
        rest = self.parse_fields(struct, lines, indent)
        if rest:
            self.at = rest[0][0]
            raise SchemaError('bad indentation')

    def parse_fields(self, struct, lines, indent):
        while lines and lines[0][1] == indent:
            self.at = lines[0][0]
            text = lines[0][2]
            children = []
            lines = lines[1:]
            while lines and lines[0][1] > indent:
                children.append(lines[0])
                lines = lines[1:]
            if text.startswith('struct '):
                shared = self.define(text.split()[1], self.message.api.versions, children, indent + 4)
                self.shared[shared.name] = shared
            else:
                self.add_field(struct, text, children, indent + 4)
        tags = [f.tag for f in struct.fields if f.tag is not None]
        if len(set(tags)) != len(tags):
            raise SchemaError('a tag is used twice')
        return lines

    def add_field(self, struct, text, children, indent):
        field = parse_field(text, struct.versions)
        if any(f.name == field.name for f in struct.fields):
            raise SchemaError('field %s stands twice' % field.name)
        if children:
            field.struct = self.define(field.type, field.versions, children, indent)
        elif field.type in self.shared:
            field.struct = self.shared[field.type]
        elif field.type not in FIXED and field.type not in VARIABLE:
            raise SchemaError('unknown type ' + field.type)
        if field.is_struct() and field.nullable is not None and not field.is_null_default():
            raise SchemaError('%s: a nullable struct defaults to null' % field.name)
        if field.tag is not None and field.versions.first < self.message.api.flexible_from:
            raise SchemaError('%s: tagged below the first flexible version' % field.name)
        struct.fields.append(field)

    def define(self, name, versions, children, indent):
        if name in self.used:
            raise SchemaError('struct %s is defined twice' % name)
        self.used.add(name)
        struct = Struct(name, versions)
        if not children:
            raise SchemaError('struct %s has no fields' % name)
        self.parse_all(struct, children, indent)
        self.message.structs.append(struct)
        return struct


def parse_api_line(text):
    match = re.fullmatch(r'(api|record) (\d+) (\w+) (\d+)(?:-(\d+))? flexible (?:(\d+)\+|none)', text)
    if not match:
        raise SchemaError('expected: api|record <key> <Name> <versions> flexible <version>+|none')
    what, key, title, first, last, flexible = match.groups()
    versions = Range(int(first), int(last or first))
    kinds = ('key', 'value') if what == 'record' else ('request', 'response')
    return Api(int(key), title, versions, NEVER if flexible is None else int(flexible), kinds)


def split_lines(path):
    with open(path, encoding='ascii') as source:
        for number, raw in enumerate(source, 1):
            text = raw.rstrip('\n')
            stripped = text.strip()
            if stripped:
                yield number, len(text) - len(text.lstrip(' ')), stripped


def load(path):
    """The Api in one file."""
    api, current, at = None, None, 0
    doc, sections = [], {}
    try:
        for at, indent, text in split_lines(path):
            if text.startswith('#'):
                if api is None and 'SPDX' not in text:
                    doc.append(text.lstrip('# '))
            elif indent == 0 and api is None:
                api = parse_api_line(text)
            elif indent == 0 and text in api.kinds:
                current = sections.setdefault(text, [])
            elif indent == 0 or current is None:
                raise SchemaError('unexpected line: ' + text)
            else:
                current.append((at, indent, text))
        api.doc = doc
        for kind, slot in zip(api.kinds, ('request', 'response')):
            parser = MessageParser(Message(api.of_kind(kind), kind))
            try:
                setattr(api, slot, parser.parse(sections[kind]))
            except SchemaError:
                at = parser.at
                raise
    except SchemaError as error:
        raise SystemExit('%s:%d: %s' % (path, at, error))
    return api
