# SPDX-License-Identifier: Apache-2.0
"""For tests: functions that fill a message with random values that a version can carry, and set one that it cannot carry on demand."""
from emit import C_TYPE, Emitter, ITEMS, VIEW, WIRE, condition, truth

OWN_TAGS_FROM = 10000


class RandomEmitter(Emitter):
    def define(self, code):
        for struct in self.message.structs:
            self.fill(code, struct)
        name = self.message.name
        code('kafka_random_fn %s_random;' % name)
        code('void %s_random(struct kafka_random *x, int16_t version, void *m)' % name)
        code('{\n    %s_fill(x, version, m);\n}' % self.local(self.message.root))
        code()

    def fill(self, code, struct):
        name = self.message.c_name(struct)
        code('static void %s_fill(struct kafka_random *x, int16_t version, struct %s *m)' % (self.local(struct), name))
        with code.block(''):
            code('%s_init(m);' % name)
            for field in struct.fields:
                self.guarded(code, field, self.within(struct), self.fill_field)
                if condition(field.versions, self.within(struct)) and (field.tag or 0) < OWN_TAGS_FROM:
                    with code.block(code.lines.pop().strip() + ' else if (kafka_random_poke(x))'):
                        self.poke(code, field, 'm->')
        code()

    def fill_field(self, code, field, within):
        if field.struct is None:
            with code.block('if (kafka_random_%s(x))' % ('tag' if field.tag is not None else 'value')):
                self.fill_value(code, field, within)
        elif field.tag is not None:
            with code.block('if (kafka_random_tag(x) || x->skeleton)'):
                self.fill_value(code, field, within)
        else:
            self.fill_value(code, field, within)

    def fill_value(self, code, field, within):
        null = truth(field.nullable, within)
        member = 'm->' + field.name
        if field.is_array and field.struct:
            code('%s_count = kafka_random_count(x, %s);' % (member, null))
            code('%s = kafka_random_room(x, %s_count, sizeof *%s);' % (member, member, member))
            code('for (int32_t i = 0; i < %s_count; i++)' % member)
            code('    %s_fill(x, version, &%s[i]);' % (self.local(field.struct), member))
        elif field.is_array:
            code('%s = kafka_random_%s(x, %s, &%s_count);' % (member, ITEMS[field.type], null, member))
        elif field.struct and field.nullable:
            code('m->has_%s = x->skeleton || kafka_random_bool(x);' % field.name)
            with code.block('if (m->has_%s)' % field.name):
                code('%s_fill(x, version, &%s);' % (self.local(field.struct), member))
        elif field.struct:
            code('%s_fill(x, version, &%s);' % (self.local(field.struct), member))
        elif field.type in VIEW:
            code('%s = kafka_random_%s(x, %s);' % (member, VIEW[field.type], null))
        else:
            code('%s = kafka_random_%s(x);' % (member, WIRE[field.type]))

    def poke(self, code, field, path):
        """Moves a field away from its default, whatever that is."""
        member = path + field.name
        if field.is_array:
            code('%s_count = 1;' % member)
            code('%s = kafka_random_room(x, 1, sizeof *%s);' % (member, member))
            if field.struct:
                code('%s_init(%s);' % (self.message.c_name(field.struct), member))
        elif field.struct and field.nullable:
            code('%shas_%s = true;' % (path, field.name))
        elif field.struct:
            self.poke(code, field.struct.fields[0], member + '.')
        elif field.type == 'uuid':
            code('%s.b[0] ^= 1;' % member)
        elif field.type in VIEW:
            code('%s = (%s){.p = (const void *)"x", .len = 1};' % (member, C_TYPE[field.type]))
        elif field.type == 'bool':
            code('%s = !%s;' % (member, member))
        else:
            code('%s ^= 1;' % member)
