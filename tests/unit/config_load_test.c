/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/config/config.h"
#include "common/config/config_argv.h"
#include "common/config/logging_config.h"
#include "tests/lib/unit.h"

struct values {
    int32_t node_id;
    struct setting_list dirs;
    int64_t num_partitions, retention_ms;
    const char *rack, *secret;
    struct endpoints listeners;
};

static const struct setting items[] = {
    SETTING_INT("node.id", struct values, node_id, NULL, 0, INT32_MAX, SETTING_REQUIRED, "Id of this node."),
    SETTING_LIST("log.dirs", struct values, dirs, "/tmp/sluice", 0, "Data directories."),
    SETTING_INT("num.partitions", struct values, num_partitions, "1", 1, 10000, SETTING_DYNAMIC,
                "Partitions."),
    SETTING_DURATION_MS("log.retention.ms", struct values, retention_ms, "7d", -1, INT64_MAX, 0,
                        "Age of data."),
    SETTING_STRING("broker.rack", struct values, rack, "it's", 0, "Rack."),
    SETTING_STRING("ssl.key.password", struct values, secret, NULL, SETTING_SENSITIVE, "Secret."),
    SETTING_LISTENERS("listeners", struct values, listeners, "PLAINTEXT://:9092", 0, "Listeners."),
};
static const struct setting_table table = {items, ARRAY_LEN(items)};

static struct config *config;
static struct values v;

static void setup(void)
{
    memset(&v, 0, sizeof(v));
    config = config_new();
    config_add(config, &table, &v);
}

static void teardown(void)
{
    config_free(config);
}

static enum err load(const char *text)
{
    return config_apply_text(config, "etc/b.yaml", text, strlen(text));
}

START_TEST(defaults_stand_without_a_file)
{
    enum config_source source;
    const char *text;
    ck_assert_int_eq(v.num_partitions, 1);
    ck_assert_int_eq(v.retention_ms, 604800000);
    ck_assert_str_eq(v.dirs.items[0], "/tmp/sluice");
    ck_assert_str_eq(v.listeners.items[0].name, "PLAINTEXT");
    ck_assert_ptr_null(v.secret);
    ck_assert_int_eq(config_describe(config, "num.partitions", &source, &text), OK);
    ck_assert_int_eq(source, CONFIG_DEFAULT);
    ck_assert_str_eq(text, "1");
}
END_TEST

START_TEST(nested_and_dotted_names_are_the_same)
{
    ck_assert_int_eq(load("node.id: 3\nlog:\n  dirs: /a\n  retention:\n    ms: 5s\nnum.partitions: 6\n"), OK);
    ck_assert_int_eq(v.node_id, 3);
    ck_assert_str_eq(v.dirs.items[0], "/a");
    ck_assert_int_eq(v.retention_ms, 5000);
    ck_assert_int_eq(v.num_partitions, 6);
}
END_TEST

START_TEST(half_dotted_names_and_flow_style_work)
{
    ck_assert_int_eq(load("log.retention: {ms: 7}\nlog: {dirs: [/a, '/b c']}\n"), OK);
    ck_assert_int_eq(v.retention_ms, 7);
    ck_assert_uint_eq(v.dirs.count, 2);
    ck_assert_str_eq(v.dirs.items[1], "/b c");
}
END_TEST

START_TEST(listeners_may_be_a_yaml_list)
{
    ck_assert_int_eq(load("listeners:\n  - PLAINTEXT://:1\n  - SSL://h:2\n"), OK);
    ck_assert_uint_eq(v.listeners.count, 2);
    ck_assert_str_eq(v.listeners.items[1].name, "SSL");
}
END_TEST

START_TEST(empty_file_is_allowed)
{
    ck_assert_int_eq(load(""), OK);
    ck_assert_int_eq(load("# only a comment\n"), OK);
    ck_assert_int_eq(load("---\n"), OK);
    ck_assert_int_eq(load("log: {}\n"), OK);
}
END_TEST

struct mistake {
    const char *text;
    enum err err;
    const char *message; /* whole */
};

static const struct mistake mistakes[] = {
    {"node.id: 1\nlog.dris: /x\n", ERR_NOT_FOUND,
     "etc/b.yaml:2: unknown setting 'log.dris', did you mean 'log.dirs'?"},
    {"log:\n  # where\n  dris: /x\n", ERR_NOT_FOUND,
     "etc/b.yaml:3: unknown setting 'log.dris', did you mean 'log.dirs'?"},
    {"frobnicate: 1\n", ERR_NOT_FOUND,
     "etc/b.yaml:1: unknown setting 'frobnicate' (--help-config lists all of them)"},
    {"\n\nnum.partitions: many\n", ERR_INVALID,
     "etc/b.yaml:3: 'num.partitions' is 'many', expected a whole number, from 1 to 10000"},
    {"num.partitions: 0\n", ERR_OUT_OF_RANGE,
     "etc/b.yaml:1: 'num.partitions' is '0', which is out of range, expected a whole number, from 1 to "
     "10000"},
    {"num.partitions: [1, 2]\n", ERR_INVALID,
     "etc/b.yaml:1: 'num.partitions' is '1,2', expected a whole number, from 1 to 10000"},
    {"broker.rack:\n", ERR_INVALID,
     "etc/b.yaml:1: 'broker.rack' has no value; write '' for an empty text, or remove the line"},
    {"node.id: 1\nbroker: {rack: a}\nnode: {id: 2}\n", ERR_EXISTS,
     "etc/b.yaml:3: 'node.id' is given twice, first in etc/b.yaml:1"},
    {"- a\n", ERR_MALFORMED, "etc/b.yaml:1: a list cannot stand here"},
    {"just text\n", ERR_MALFORMED, "etc/b.yaml:1: expected lines of the form 'name: value'"},
    {"log.dirs: [{a: b}]\n", ERR_MALFORMED, "etc/b.yaml:1: a mapping cannot stand here"},
    {"log.dirs: [[a]]\n", ERR_MALFORMED, "etc/b.yaml:1: a list cannot stand here"},
    {"? {a: b}\n: c\n", ERR_MALFORMED, "etc/b.yaml:1: a mapping cannot stand here"},
    {"broker.rack: &x a\nlog.dirs: *x\n", ERR_MALFORMED, "etc/b.yaml:2: aliases (*name) are not supported"},
    {"node.id: 1\n---\nnode.id: 2\n", ERR_MALFORMED,
     "etc/b.yaml:2: a second document; one file is one document"},
    {"broker.rack: \"a\\0b\"\n", ERR_MALFORMED, "etc/b.yaml:1: a text holds a zero byte"},
    {"'': 1\n", ERR_MALFORMED, "etc/b.yaml:1: a name is empty"},
    {"log.dirs: ['a,b']\n", ERR_INVALID, "etc/b.yaml:1: an item of 'log.dirs' is empty or holds a comma"},
    {"listeners: nowhere\n", ERR_INVALID,
     "etc/b.yaml:1: 'listeners' is 'nowhere', expected listeners such as PLAINTEXT://host:9092, separated by "
     "commas, "
     "each name once"},
};

START_TEST(a_mistake_names_its_place_and_the_fix)
{
    const struct mistake *mistake = &mistakes[_i];
    ck_assert_int_eq(load(mistake->text), mistake->err);
    ck_assert_str_eq(config_error(config), mistake->message);
}
END_TEST

START_TEST(broken_yaml_names_the_line)
{
    ck_assert_int_eq(load("node.id: 1\nlog: [a\n"), ERR_MALFORMED);
    ck_assert_ptr_nonnull(strstr(config_error(config), "etc/b.yaml:3: not valid YAML: "));
}
END_TEST

START_TEST(depth_and_size_are_capped)
{
    char deep[256] = "";
    for (int i = 0; i <= CONFIG_DEPTH_MAX; i++)
        strcat(deep, "{a: ");
    ck_assert_int_eq(load(deep), ERR_TOO_LARGE);
    ck_assert_str_eq(config_error(config), "etc/b.yaml:1: nested too deeply");
    char *big = malloc(CONFIG_FILE_MAX + 1);
    memset(big, '#', CONFIG_FILE_MAX + 1);
    ck_assert_int_eq(config_apply_text(config, "big", big, CONFIG_FILE_MAX + 1), ERR_TOO_LARGE);
    ck_assert_str_eq(config_error(config), "big: larger than 1 MiB");
    free(big);
}
END_TEST

START_TEST(an_endless_list_is_refused)
{
    static char text[200000] = "log.dirs:\n";
    for (size_t used = strlen(text); used < 150000;)
        used += (size_t)sprintf(text + used, "- /some/directory/of/some/length\n");
    ck_assert_int_eq(load(text), ERR_TOO_LARGE);
}
END_TEST

START_TEST(environment_overrides_the_file_and_set_overrides_both)
{
    char one[] = "SLUICE_NUM_PARTITIONS=5", two[] = "SLUICE_LOG_DIRS=/e,/f", other[] = "PATH=/bin";
    char *env[] = {other, one, two, NULL};
    enum config_source source;
    ck_assert_int_eq(load("num.partitions: 4\nlog.dirs: /x\nnode.id: 1\n"), OK);
    ck_assert_int_eq(config_apply_env(config, env), OK);
    ck_assert_int_eq(v.num_partitions, 5);
    ck_assert_uint_eq(v.dirs.count, 2);
    ck_assert_int_eq(config_apply_set(config, "num.partitions=9"), OK);
    ck_assert_int_eq(v.num_partitions, 9);
    ck_assert_int_eq(config_describe(config, "num.partitions", &source, NULL), OK);
    ck_assert_int_eq(source, CONFIG_SET);
    ck_assert_int_eq(config_describe(config, "log.dirs", &source, NULL), OK);
    ck_assert_int_eq(source, CONFIG_ENV);
    ck_assert_int_eq(config_finish(config), OK);
    ck_assert_ptr_null(config_warning(config, 0));
}
END_TEST

START_TEST(unknown_environment_names_only_warn)
{
    char typo[] = "SLUICE_LOG_DRIS=/e", own[] = "SLUICE_SCRIPT_STATE=1";
    char *env[] = {typo, own, NULL};
    ck_assert_int_eq(config_apply_env(config, env), OK);
    ck_assert_pstr_eq(config_warning(config, 0),
                      "environment: SLUICE_LOG_DRIS is no setting, did you mean SLUICE_LOG_DIRS?");
    ck_assert_pstr_eq(config_warning(config, 1), "environment: SLUICE_SCRIPT_STATE is no setting");
    ck_assert_ptr_null(config_warning(config, 2));
}
END_TEST

START_TEST(bad_environment_value_names_the_variable)
{
    char bad[] = "SLUICE_NODE_ID=x";
    char *env[] = {bad, NULL};
    ck_assert_int_eq(config_apply_env(config, env), ERR_INVALID);
    ck_assert_str_eq(config_error(config),
                     "environment SLUICE_NODE_ID: 'node.id' is 'x', expected a whole number, at least 0");
}
END_TEST

START_TEST(bad_set_options_fail)
{
    ck_assert_int_eq(config_apply_set(config, "log.dris=/x"), ERR_NOT_FOUND);
    ck_assert_str_eq(config_error(config), "--set: unknown setting 'log.dris', did you mean 'log.dirs'?");
    ck_assert_int_eq(config_apply_set(config, "log.dirs"), ERR_INVALID);
    ck_assert_str_eq(config_error(config), "--set: 'log.dirs' is not of the form key=value");
    ck_assert_int_eq(config_apply_set(config, "=1"), ERR_NOT_FOUND);
    char longest[600];
    memset(longest, 'a', sizeof(longest));
    memcpy(longest + 590, "=1", 3);
    ck_assert_int_eq(config_apply_set(config, longest), ERR_NOT_FOUND);
}
END_TEST

START_TEST(required_setting_must_be_given)
{
    ck_assert_int_eq(load("num.partitions: 4\n"), OK);
    ck_assert_int_eq(config_finish(config), ERR_INVALID);
    ck_assert_str_eq(config_error(config),
                     "etc/b.yaml: 'node.id' must be given: in the file, as SLUICE_NODE_ID, or "
                     "with --set node.id=...");
}
END_TEST

START_TEST(secrets_never_show_in_errors)
{
    static const struct setting secret_items[] = {
        SETTING_INT("pin", struct values, node_id, NULL, 0, 9999, SETTING_SENSITIVE, "A secret number."),
    };
    static const struct setting_table secret_table = {secret_items, 1};
    config_add(config, &secret_table, &v);
    ck_assert_int_eq(load("pin: hunter2\n"), ERR_INVALID);
    ck_assert_ptr_null(strstr(config_error(config), "hunter2"));
}
END_TEST

START_TEST(a_message_is_one_line_whatever_the_value)
{
    ck_assert_int_eq(load("num.partitions: \"a\\nb\\e[31m\"\n"), ERR_INVALID);
    ck_assert_ptr_null(strchr(config_error(config), '\n'));
    ck_assert_ptr_null(strchr(config_error(config), '\033'));
}
END_TEST

START_TEST(a_name_in_two_tables_reaches_both)
{
    struct values other = {0};
    struct logging_config logging;
    config_add(config, &table, &other);
    config_add(config, logging_settings(), &logging);
    ck_assert_int_eq(load("node.id: 4\nlogging: {format: json}\n"), OK);
    ck_assert_int_eq(v.node_id, 4);
    ck_assert_int_eq(other.node_id, 4);
    ck_assert_int_eq(logging.format, 1);
    ck_assert_int_eq(logging.level, 1);
}
END_TEST

START_TEST(help_is_a_file_that_loads_and_changes_nothing)
{
    char *text = NULL;
    size_t len = 0;
    struct values again = {0};
    FILE *out = open_memstream(&text, &len);
    config_print_help(config, out);
    fclose(out);
    struct config *fresh = config_new();
    config_add(fresh, &table, &again);
    ck_assert_msg(config_apply_text(fresh, "help", text, len) == OK, "%s in:\n%s", config_error(fresh), text);
    ck_assert_int_eq(again.retention_ms, v.retention_ms);
    ck_assert_str_eq(again.rack, "it's");
    for (size_t i = 0; i < ARRAY_LEN(items); i++)
        ck_assert_ptr_nonnull(strstr(text, items[i].name));
    ck_assert_ptr_nonnull(strstr(text, "# node.id:\n"));
    config_free(fresh);
    free(text);
}
END_TEST

START_TEST(files_are_read_and_missing_ones_named)
{
    char path[] = "config-test-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, "node.id: 8\n", 11), 11);
    close(fd);
    ck_assert_int_eq(config_apply_file(config, path), OK);
    ck_assert_int_eq(v.node_id, 8);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(config_apply_file(config, path), ERR_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(config_error(config), "cannot be opened: No such file"));
    ck_assert_int_ne(config_apply_file(config, "/"), OK);
    ck_assert_ptr_nonnull(strstr(config_error(config), "/: cannot be read: "));
}
END_TEST

START_TEST(argv_loads_in_order)
{
    struct config_argv args = {.sets = {"node.id=1", "node.id=2"}, .set_count = 2};
    char one[] = "SLUICE_NODE_ID=7", two[] = "SLUICE_BROKER_RACK=r1";
    char *env[] = {one, two, NULL};
    ck_assert_int_eq(config_argv_load(config, &args, env), OK);
    ck_assert_int_eq(v.node_id, 2);
    ck_assert_str_eq(v.rack, "r1");
}
END_TEST

START_TEST(config_start_runs_with_good_options)
{
    char *argv[] = {(char[]){"sluice-test"},      (char[]){"--set"},
                    (char[]){"node.id=5"},        (char[]){"-s"},
                    (char[]){"num.partitions=3"}, NULL};
    int status = -1;
    ck_assert(config_start(config, 5, argv, "Test.", &status));
    ck_assert_int_eq(v.node_id, 5);
    ck_assert_int_eq(v.num_partitions, 3);
}
END_TEST

START_TEST(config_start_stops_on_a_mistake)
{
    char *argv[] = {(char[]){"sluice-test"}, (char[]){"--set"}, (char[]){"nod.id=5"}, NULL};
    int status = -1;
    ck_assert(!config_start(config, 3, argv, "Test.", &status));
    ck_assert_int_eq(status, CONFIG_EXIT_STATUS);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, defaults_stand_without_a_file);
    tcase_add_test(tcase, nested_and_dotted_names_are_the_same);
    tcase_add_test(tcase, half_dotted_names_and_flow_style_work);
    tcase_add_test(tcase, listeners_may_be_a_yaml_list);
    tcase_add_test(tcase, empty_file_is_allowed);
    tcase_add_loop_test(tcase, a_mistake_names_its_place_and_the_fix, 0, ARRAY_LEN(mistakes));
    tcase_add_test(tcase, broken_yaml_names_the_line);
    tcase_add_test(tcase, depth_and_size_are_capped);
    tcase_add_test(tcase, an_endless_list_is_refused);
    tcase_add_test(tcase, environment_overrides_the_file_and_set_overrides_both);
    tcase_add_test(tcase, unknown_environment_names_only_warn);
    tcase_add_test(tcase, bad_environment_value_names_the_variable);
    tcase_add_test(tcase, bad_set_options_fail);
    tcase_add_test(tcase, required_setting_must_be_given);
    tcase_add_test(tcase, secrets_never_show_in_errors);
    tcase_add_test(tcase, a_message_is_one_line_whatever_the_value);
    tcase_add_test(tcase, a_name_in_two_tables_reaches_both);
    tcase_add_test(tcase, help_is_a_file_that_loads_and_changes_nothing);
    tcase_add_test(tcase, files_are_read_and_missing_ones_named);
    tcase_add_test(tcase, argv_loads_in_order);
    tcase_add_test(tcase, config_start_runs_with_good_options);
    tcase_add_test(tcase, config_start_stops_on_a_mistake);
}

SLUICE_TEST_MAIN("config_load", add)
