# SPDX-License-Identifier: Apache-2.0
"""Turns a parsed message into C: struct, init, decode, encode. One set of functions per struct, straight-line, versions by `if`."""
from kschema import FIXED, Range

C_TYPE = {'bool': 'bool', 'int8': 'int8_t', 'int16': 'int16_t', 'uint16': 'uint16_t', 'int32': 'int32_t', 'uint32': 'uint32_t',
          'int64': 'int64_t', 'float64': 'double', 'uuid': 'struct uuid', 'string': 'struct str', 'bytes': 'struct bytes',
          'records': 'struct kafka_records'}
WIRE = {'bool': 'bool', 'int8': 'i8', 'int16': 'i16', 'uint16': 'u16', 'int32': 'i32', 'uint32': 'u32', 'int64': 'i64',
        'float64': 'f64', 'uuid': 'uuid'}
VIEW = {'string': 'str', 'bytes': 'bytes', 'records': 'records'}
ITEMS = {'int8': 'i8s', 'int16': 'i16s', 'int32': 'i32s', 'int64': 'i64s', 'string': 'strs'}
ALIGN = {'bool': 1, 'int8': 1, 'int16': 2, 'uint16': 2, 'int32': 4, 'uint32': 4, 'uuid': 1}


class Code:
    """Lines with indentation; `with code.block('if (x)')` braces."""

    def __init__(self):
        self.lines, self.depth = [], 0

    def __call__(self, text=''):
        self.lines.append('    ' * self.depth + text if text else '')

    def block(self, head):
        self(head + ' {' if head else '{')
        self.depth += 1
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.depth -= 1
        self('}')

    def text(self):
        return '\n'.join(self.lines) + '\n'


def condition(versions, within):
    """C text that is true for `versions`, given that `within` holds; '' when always."""
    low, high = versions.first > within.first, versions.last < within.last
    if low and high and versions.first == versions.last:
        return 'version == %d' % versions.first
    parts = (['version >= %d' % versions.first] if low else []) + (['version <= %d' % versions.last] if high else [])
    return ' && '.join(parts)


def truth(versions, within):
    if versions is None:
        return 'false'
    return condition(versions, within) or 'true'


class Emitter:
    def __init__(self, message):
        self.message, self.api = message, message.api
        self.range = message.api.versions
        self.flexible_from = message.api.flexible_from

    # Names and small pieces

    def c_type(self, field):
        return 'struct ' + self.message.c_name(field.struct) if field.struct else C_TYPE[field.type]

    def flex_text(self, within):
        if self.flexible_from <= within.first:
            return 'true'
        return 'false' if self.flexible_from > within.last else 'flex'

    def is_flexible(self, version):
        return version >= self.flexible_from

    def within(self, struct):
        """Versions in which this struct can be on the wire."""
        return Range(max(struct.versions.first, self.range.first), min(struct.versions.last, self.range.last))

    def flexible_range(self, struct):
        within = self.within(struct)
        if self.flexible_from > within.last:
            return None
        return Range(max(within.first, self.flexible_from), within.last)

    def min_size(self, struct, version):
        """Fewest bytes that the struct takes in this version."""
        flexible = self.is_flexible(version)
        total = 1 if flexible else 0
        for field in struct.fields:
            if version in field.versions and field.tag is None:
                total += self.min_field_size(field, version, flexible)
        return total

    def min_field_size(self, field, version, flexible):
        if field.is_array or field.type in ('bytes', 'records'):
            return 1 if flexible else 4
        if field.type == 'string':
            return 1 if flexible else 2
        if field.struct:
            return 1 if field.nullable and version in field.nullable else self.min_size(field.struct, version)
        return FIXED[field.type]

    def min_size_text(self, struct, within):
        """A chain of conditional expressions over the versions in which the size changes."""
        runs = []
        for version in within:
            size = self.min_size(struct, version)
            if not runs or runs[-1][1] != size:
                runs.append((version, size))
        text = ''
        for first, size in reversed(runs[1:]):
            text += 'version >= %d ? %d : ' % (first, size)
        return text + str(runs[0][1])

    def literal(self, field):
        if field.default is True:
            return 'true'
        value = int(field.default or 0)
        if field.type == 'int64':
            return 'INT64_MAX' if value == 2**63 - 1 else 'INT64_MIN' if value == -2**63 else str(value)
        return 'INT32_MAX' if value == 2**31 - 1 else 'INT32_MIN' if value == -2**31 else str(value)

    # Declarations

    def declare(self, code):
        for struct in self.message.structs:
            self.declare_struct(code, struct)
        name = self.message.name
        code('enum err %s_decode(struct reader *r, struct arena *a, int16_t version, struct %s *ret);' % (name, name))
        code('void %s_encode(struct writer *w, int16_t version, const struct %s *m);' % (name, name))

    def declare_struct(self, code, struct):
        name = self.message.c_name(struct)
        with code.block('struct ' + name):
            for _, lines in sorted(self.members(struct), key=lambda member: -member[0]):
                for line in lines:
                    code(line)
        code.lines[-1] += ';'
        code('void %s_init(struct %s *m);' % (name, name))
        code()

    def members(self, struct):
        """(alignment, lines) for each member; the largest alignment comes first, so that there is little padding."""
        for field in struct.fields:
            note = self.note(field, struct)
            if field.is_array:
                yield 8, ['%s *%s;%s' % (self.c_type(field), field.name, note)]
                yield 4, ['int32_t %s_count;' % field.name]
            else:
                align = self.struct_align(field.struct) if field.struct else ALIGN.get(field.type, 8)
                yield align, ['%s %s;%s' % (self.c_type(field), field.name, note)]
                if field.struct and field.nullable:
                    yield 1, ['bool has_%s;' % field.name]

    def struct_align(self, struct):
        return max(align for align, _ in self.members(struct))

    def note(self, field, struct):
        words = []
        if field.versions != struct.versions:
            words.append(range_text(field.versions, self.range))
        if field.nullable is not None:
            words.append('nullable' + ('' if field.nullable == field.versions else ' ' + range_text(field.nullable, self.range)))
        if field.tag is not None:
            words.append('tag %d' % field.tag)
        if field.default not in (None, 'null'):
            words.append('default ' + self.literal(field))
        elif field.is_null_default():
            words.append('default null')
        text = '; '.join(([field.doc] if field.doc else []) + ([', '.join(words)] if words else []))
        return ' /* %s */' % text if text else ''

    # Init

    def init(self, code, struct):
        name = self.message.c_name(struct)
        code('void %s_init(struct %s *m)' % (name, name))
        with code.block(''):
            code('memset(m, 0, sizeof *m);')
            for field in struct.fields:
                self.init_field(code, field)
        code()

    def init_field(self, code, field):
        if field.is_array:
            if field.is_null_default():
                code('m->%s_count = -1;' % field.name)
        elif field.struct:
            code('%s_init(&m->%s);' % (self.message.c_name(field.struct), field.name))
        elif field.is_null_default():
            code('m->%s.len = -1;' % field.name)
        elif field.default is not None:
            code('m->%s = %s;' % (field.name, self.literal(field)))

    # Is the field at its default? (C condition)

    def at_default(self, field, path):
        name = path + field.name
        if field.is_array:
            return '%s_count == %d' % (name, -1 if field.is_null_default() else 0)
        if field.struct:
            if field.nullable:
                return '!%shas_%s' % (path, field.name)
            return '(' + ' && '.join(self.at_default(inner, name + '.') for inner in field.struct.fields) + ')'
        if field.type in ('string', 'bytes'):
            return '%s.len == %d' % (name, -1 if field.is_null_default() else 0)
        if field.type == 'records':
            return 'kafka_records_size(&%s) == %d' % (name, -1 if field.is_null_default() else 0)
        if field.type == 'uuid':
            return 'uuid_is_zero(%s)' % name
        if field.type == 'bool':
            return name if field.default is True else '!' + name
        return '%s == %s' % (name, self.literal(field))

    # Decode

    def decode(self, code, struct):
        name = self.message.c_name(struct)
        body = Code()
        body.depth = 1
        within = self.within(struct)
        body('%s_init(m);' % name)
        for field in struct.fields:
            if field.tag is None:
                self.guarded(body, field, within, lambda c, f, w: self.read(c, f, w, 'r'))
        self.read_tags(body, struct)
        code('static void %s_read(struct reader *r, struct arena *a, int16_t version, struct %s *m)' % (self.local(struct), name))
        self.function(code, body, within)

    def function(self, code, body, within):
        code('{')
        if any('flex' in line for line in body.lines) and self.flex_text(within) == 'flex':
            code('    const bool flex = version >= %d;' % self.flexible_from)
        code.lines += body.lines
        code('}')
        code()

    def local(self, struct):
        return self.message.c_name(struct)[len('kafka_'):]

    def guarded(self, code, field, within, emit):
        text = condition(field.versions, within)
        if text:
            with code.block('if (%s)' % text):
                emit(code, field, field.versions)
        else:
            emit(code, field, within)

    def read(self, code, field, within, reader):
        flex = self.flex_text(within)
        null = truth(field.nullable, within)
        member = 'm->' + field.name
        if field.is_array and field.struct:
            self.read_structs(code, field, within, reader, flex, null)
        elif field.is_array:
            code('%s = kafka_get_%s(%s, a, %s, %s, &%s_count);' % (member, ITEMS[field.type], reader, flex, null, member))
        elif field.struct and field.nullable:
            code('m->has_%s = reader_i8(%s) >= 0;' % (field.name, reader))
            with code.block('if (m->has_%s)' % field.name):
                code('%s_read(%s, a, version, &%s);' % (self.local(field.struct), reader, member))
        elif field.struct:
            code('%s_read(%s, a, version, &%s);' % (self.local(field.struct), reader, member))
        elif field.type in VIEW:
            code('%s = kafka_get_%s(%s, %s, %s);' % (member, VIEW[field.type], reader, flex, null))
        else:
            code('%s = reader_%s(%s);' % (member, WIRE[field.type], reader))

    def read_structs(self, code, field, within, reader, flex, null):
        member = 'm->' + field.name
        code('%s_count = kafka_get_count(%s, %s, %s, %s);' % (member, reader, flex, null,
                                                            self.min_size_text(field.struct, within)))
        code('%s = kafka_get_array(%s, a, %s_count, sizeof *%s);' % (member, reader, member, member))
        failed = 'r->err' if reader == 'r' else 'body.err'
        code('for (int32_t i = 0; i < %s_count && %s == OK; i++)' % (member, failed))
        code('    %s_read(%s, a, version, &%s[i]);' % (self.local(field.struct), reader, member))

    def read_tags(self, code, struct):
        flexible = self.flexible_range(struct)
        if flexible is None:
            return
        tagged = [f for f in struct.fields if f.tag is not None]
        text = condition(flexible, self.within(struct))
        if not tagged:
            code('if (%s)' % text if text else '')
            code('    kafka_skip_tags(r);' if text else 'kafka_skip_tags(r);')
            return
        with code.block('if (%s)' % text if text else ''):
            code('struct kafka_tags tags = kafka_get_tags(r);')
            code('struct reader body;')
            code('uint32_t tag;')
            with code.block('while (kafka_next_tag(r, &tags, &tag, &body))'):
                with code.block('switch (tag)'):
                    for field in tagged:
                        self.read_tag(code, field, flexible)
                    code('default: continue;')
                code('kafka_end_tag(r, &body);')

    def read_tag(self, code, field, flexible):
        code('case %d:' % field.tag)
        code.depth += 1
        text = condition(field.versions, flexible)
        if text:
            code('if (!(%s)) {' % text)
            code('    reader_fail(&body, ERR_MALFORMED);')
            code('    break;')
            code('}')
        self.read(code, field, field.versions, '&body')
        code('break;')
        code.depth -= 1

    def decode_root(self, code):
        name = self.message.name
        code('enum err %s_decode(struct reader *r, struct arena *a, int16_t version, struct %s *ret)' % (name, name))
        with code.block(''):
            self.version_guard(code, 'reader_fail(r, ERR_VERSION);')
            code('else')
            code('    %s_read(r, a, version, ret);' % self.local(self.message.root))
            code('if (r->err != OK)')
            code('    %s_init(ret);' % name)
            code('return r->err;')
        code()

    def version_guard(self, code, action):
        code('if (version < %d || version > %d)' % (self.range.first, self.range.last))
        code('    ' + action)

    # Encode

    def encode(self, code, struct):
        name = self.message.c_name(struct)
        within = self.within(struct)
        body = Code()
        body.depth = 1
        for field in struct.fields:
            self.write_or_refuse(body, field, struct)
        self.write_tags(body, struct)
        code('static void %s_write(struct writer *w, int16_t version, const struct %s *m)' % (self.local(struct), name))
        self.function(code, body, within)

    def write_or_refuse(self, code, field, struct):
        within = self.within(struct)
        text = condition(field.versions, within)
        refuse = text and not field.ignorable
        if field.tag is not None:
            if refuse:
                code('if (!(%s) && !(%s))' % (text, strip_parens(self.at_default(field, 'm->'))))
                code('    writer_fail(w, ERR_INVALID);')
            return
        if not text:
            self.write(code, field, within)
            return
        with code.block('if (%s)' % text):
            self.write(code, field, field.versions)
        if refuse:
            code.lines[-1] += ' else if (!(%s)) {' % strip_parens(self.at_default(field, 'm->'))
            code('    writer_fail(w, ERR_INVALID);')
            code('}')

    def write(self, code, field, within):
        flex = self.flex_text(within)
        null = truth(field.nullable, within)
        member = 'm->' + field.name
        if field.is_array and field.struct:
            code('kafka_put_count(w, %s_count, %s, %s);' % (member, flex, null))
            code('for (int32_t i = 0; i < %s_count && w->err == OK; i++)' % member)
            code('    %s_write(w, version, &%s[i]);' % (self.local(field.struct), member))
        elif field.is_array:
            code('kafka_put_%s(w, %s, %s_count, %s, %s);' % (ITEMS[field.type], member, member, flex, null))
        elif field.struct and field.nullable:
            code('writer_i8(w, m->has_%s ? 1 : -1);' % field.name)
            if null != 'true':
                code('if (!m->has_%s && !(%s))' % (field.name, null))
                code('    writer_fail(w, ERR_INVALID);')
            with code.block('if (m->has_%s)' % field.name):
                code('%s_write(w, version, &%s);' % (self.local(field.struct), member))
        elif field.struct:
            code('%s_write(w, version, &%s);' % (self.local(field.struct), member))
        elif field.type == 'records':
            code('kafka_put_records(w, &%s, %s, %s);' % (member, flex, null))
        elif field.type in VIEW:
            code('kafka_put_%s(w, %s, %s, %s);' % (VIEW[field.type], member, flex, null))
        else:
            code('writer_%s(w, %s);' % (WIRE[field.type], member))

    def write_tags(self, code, struct):
        flexible = self.flexible_range(struct)
        if flexible is None:
            return
        text = condition(flexible, self.within(struct))
        tagged = sorted((f for f in struct.fields if f.tag is not None), key=lambda f: f.tag)
        if not tagged:
            code('if (%s)' % text if text else '')
            code('    writer_uvarint(w, 0);' if text else 'writer_uvarint(w, 0);')
            return
        with code.block('if (%s)' % text if text else ''):
            for field in tagged:
                code('const bool put_%s = %s;' % (field.name, self.put_tag_text(field, flexible)))
            code('writer_uvarint(w, %s);' % ' + '.join('(uint32_t)put_' + f.name for f in tagged))
            for field in tagged:
                with code.block('if (put_%s)' % field.name):
                    code('size_t mark = kafka_start_tag(w, %d);' % field.tag)
                    self.write(code, field, field.versions)
                    code('kafka_finish_tag(w, mark);')

    def put_tag_text(self, field, flexible):
        text = condition(field.versions, flexible)
        changed = '!(%s)' % strip_parens(self.at_default(field, 'm->'))
        return '%s && %s' % (text, changed) if text else changed

    def encode_root(self, code):
        name = self.message.name
        code('void %s_encode(struct writer *w, int16_t version, const struct %s *m)' % (name, name))
        with code.block(''):
            self.version_guard(code, 'writer_fail(w, ERR_VERSION);')
            code('else')
            code('    %s_write(w, version, m);' % self.local(self.message.root))
        code()

    def define(self, code):
        for struct in self.message.structs:
            self.init(code, struct)
        for struct in self.message.structs:
            self.decode(code, struct)
        self.decode_root(code)
        for struct in self.message.structs:
            self.encode(code, struct)
        self.encode_root(code)


def strip_parens(text):
    return text[1:-1] if text.startswith('(') and text.endswith(')') else text


def range_text(versions, whole):
    if versions.last == whole.last:
        return 'v%d+' % versions.first
    return 'v%d' % versions.first if versions.first == versions.last else 'v%d-%d' % (versions.first, versions.last)
