#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The generator refuses schemas that make no sense, naming file and line. Argument: the folder of kschema.py."""
import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv.pop(1))
import kschema  # noqa: E402

HEAD = 'api 1 Fetch 4-18 flexible 12+\nrequest\n%s\nresponse\n    error_code int16\n'


def load(text):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'fetch.kschema')
        with open(path, 'w', encoding='ascii') as out:
            out.write(text)
        return kschema.load(path)


class Refusals(unittest.TestCase):
    def refused(self, fields, line, words):
        with self.assertRaises(SystemExit) as caught:
            load(HEAD % fields)
        self.assertIn('fetch.kschema:%d:' % line, str(caught.exception))
        self.assertIn(words, str(caught.exception))

    def test_unknown_type(self):
        self.refused('    x int33', 3, 'unknown type')

    def test_unknown_word(self):
        self.refused('    a int32\n    x int32 optional', 4, 'unknown word')

    def test_versions_outside_the_api(self):
        self.refused('    x int32 3-7', 3, 'outside 4-18')

    def test_child_outside_its_parent(self):
        self.refused('    t []topic 7+\n        x int32 5+', 4, 'outside 7-18')

    def test_null_number(self):
        self.refused('    x int32 null', 3, 'cannot be null')

    def test_null_default_of_a_field_without_null(self):
        self.refused('    x string = null', 3, 'nullable')

    def test_tag_below_the_flexible_versions(self):
        self.refused('    x int32 tag 0', 3, 'flexible')

    def test_tag_used_twice(self):
        self.refused('    x int32 12+ tag 0\n    y int32 12+ tag 0', 4, 'twice')

    def test_field_named_twice(self):
        self.refused('    x int32\n    x int16', 4, 'twice')

    def test_struct_defined_twice(self):
        self.refused('    a []t\n        x int32\n    b []t\n        y int32', 5, 'twice')

    def test_struct_without_fields(self):
        self.refused('    struct t', 3, 'no fields')

    def test_bad_indentation(self):
        self.refused('    a []t\n        x int32\n      y int32', 5, 'indentation')

    def test_missing_api_line(self):
        with self.assertRaises(SystemExit):
            load('request\n    x int32\n')


class Form(unittest.TestCase):
    def test_every_word_is_understood(self):
        api = load(HEAD % '    x []string 5-7 null 6+ = null ignorable # why\n    y int64 12+ = -1 tag 3')
        x, y = api.request.root.fields
        self.assertEqual((x.versions.first, x.versions.last, x.nullable.first, x.nullable.last), (5, 7, 6, 7))
        self.assertTrue(x.is_array and x.ignorable and x.is_null_default())
        self.assertEqual((x.doc, y.tag, y.default, y.versions.last), ('why', 3, -1, 18))

    def test_c_names(self):
        self.assertEqual(kschema.snake('OffsetForLeaderEpoch'), 'offset_for_leader_epoch')
        self.assertEqual(kschema.snake('ApiVersions'), 'api_versions')


unittest.main(verbosity=0)
