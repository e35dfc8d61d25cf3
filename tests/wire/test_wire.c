/* Every message there and back, and what damage does to it. */
#include <check.h>
#include <string.h>

#include "core/fault.h"
#include "core/measurement.h"
#include "core/resize/group.h"
#include "gpu/wire_table.h"

/* Any allowed value of each field, different ones where possible. */
static void fill(const EepWireField *fields, guint8 *base, gpointer *ret_arrays)
{
    guint64 salt = 1;

    for (const EepWireField *field = fields; field->name != NULL; field++, salt++) {
        guint64 number =
            field->min + (field->max > field->min ? salt % (field->max - field->min) : 0);
        guint32 narrow = (guint32)number;
        gfloat single = (gfloat)salt + 0.5f;
        gdouble real = 0.25;
        guint8 *elements;

        switch (field->kind) {
        case EEP_WIRE_FIELD_U32:
            memcpy(base + field->offset, &narrow, 4);
            break;
        case EEP_WIRE_FIELD_U64:
            memcpy(base + field->offset, &number, 8);
            break;
        case EEP_WIRE_FIELD_F32:
            memcpy(base + field->offset, &single, 4);
            break;
        case EEP_WIRE_FIELD_F64:
            memcpy(base + field->offset, &real, 8);
            break;
        case EEP_WIRE_FIELD_TEXT:
            g_snprintf((char *)base + field->offset, field->size, "text of %s", field->name);
            break;
        case EEP_WIRE_FIELD_BYTES:
            memset(base + field->offset, (int)salt, field->size);
            break;
        case EEP_WIRE_FIELD_ARRAY:
            narrow = 6;
            elements = g_malloc0_n(narrow, field->size);
            for (guint i = 0; i < narrow; i++)
                fill(field->elements, elements + i * field->size, NULL);
            memcpy(base + field->offset, &elements, sizeof elements);
            memcpy(base + field->count_offset, &narrow, 4);
            *ret_arrays = elements;
            break;
        }
    }
}

static void make(EepWireType type, EepWireMessage *ret_message)
{
    memset(ret_message, 0, sizeof *ret_message);
    ret_message->type = type;
    fill(eep_wire_layouts[type].fields, (guint8 *)&ret_message->hello, &ret_message->arrays);
    if (type == EEP_WIRE_WELCOME)
        ret_message->welcome.model.top_k = ret_message->welcome.model.n_experts = 4;
    if (type == EEP_WIRE_MAP)
        ret_message->map.n_ranks = 3;
    if (type == EEP_WIRE_PHASE) {
        ret_message->phase.rank = EEP_RANK_NONE;
        ret_message->phase.n_ranks = 9;
        ret_message->phase.n_kept = 0;
        ret_message->phase.n_old = 12;
        memset(ret_message->phase.left_out, 0, sizeof ret_message->phase.left_out);
        ret_message->phase.left_out[0] = 0x82;
        ret_message->phase.left_out[1] = 0x08;
    }
    if (type == EEP_WIRE_READ_LOAD)
        ret_message->read_load.to_step = 900;
}

static GByteArray *encoded(EepWireType type)
{
    GByteArray *out = g_byte_array_new();
    EepWireMessage message;

    make(type, &message);
    eep_wire_encode(&message, out);
    eep_wire_clear(&message);
    return out;
}

START_TEST(test_there_and_back)
{
    g_autoptr(GByteArray) first = encoded((EepWireType)_i), second = g_byte_array_new();
    EepWireMessage message;
    GError *error = NULL;
    gsize bytes;

    ck_assert_ptr_nonnull(eep_wire_layouts[_i].name);
    ck_assert(eep_wire_frame(first->data, first->len, &bytes, &error));
    ck_assert_uint_eq(bytes, first->len);
    ck_assert_msg(eep_wire_decode(first->data, first->len, &message, &error), "%s",
                  error ? error->message : "");
    ck_assert_int_eq(message.type, _i);
    eep_wire_encode(&message, second);
    ck_assert_uint_eq(second->len, first->len);
    ck_assert_mem_eq(second->data, first->data, first->len);
    eep_wire_clear(&message);
}
END_TEST

START_TEST(test_layout_on_the_wire)
{
    /* Byte for byte, so that no compiler and no machine changes it. */
    static const guint8 expected[] = {16, 0, 0, 0, 5,    0, 0, 0, 0x08, 7, 6, 5,
                                      4,  3, 2, 1, 0xff, 0, 0, 0, 0,    0, 0, 0};
    g_autoptr(GByteArray) out = g_byte_array_new();
    EepWireMessage message = {.type = EEP_WIRE_BEAT,
                              .beat = {G_GUINT64_CONSTANT(0x0102030405060708), 255}};

    eep_wire_encode(&message, out);
    ck_assert_uint_eq(out->len, sizeof expected);
    ck_assert_mem_eq(out->data, expected, sizeof expected);
}
END_TEST

START_TEST(test_cut_anywhere)
{
    g_autoptr(GByteArray) whole = encoded((EepWireType)_i);

    for (guint n = 0; n < whole->len; n++) {
        g_autofree guint8 *part = g_memdup2(whole->data, MAX(1, n));
        EepWireMessage message;
        GError *error = NULL;
        gsize bytes;

        ck_assert(!eep_wire_frame(part, n, &bytes, &error));
        ck_assert_ptr_null(error);
        ck_assert_uint_eq(bytes, n < EEP_WIRE_HEADER_BYTES ? EEP_WIRE_HEADER_BYTES : whole->len);
        ck_assert(!eep_wire_decode(part, n, &message, &error));
        ck_assert(g_error_matches(error, EEP_WIRE_ERROR, EEP_WIRE_ERROR_GARBAGE));
        g_clear_error(&error);
        /* The header may lie about the length as well. */
        if (n < EEP_WIRE_HEADER_BYTES)
            continue;
        part[0] = (guint8)(n - EEP_WIRE_HEADER_BYTES);
        part[1] = (guint8)((n - EEP_WIRE_HEADER_BYTES) >> 8);
        ck_assert(!eep_wire_decode(part, n, &message, &error));
        g_clear_error(&error);
    }
}
END_TEST

START_TEST(test_one_byte_too_many)
{
    g_autoptr(GByteArray) whole = encoded((EepWireType)_i);
    EepWireMessage message;
    GError *error = NULL;
    guint8 zero = 0;

    g_byte_array_append(whole, &zero, 1);
    whole->data[0]++;
    ck_assert(!eep_wire_decode(whole->data, whole->len, &message, &error));
    ck_assert_ptr_nonnull(strstr(error->message, eep_wire_layouts[_i].name));
    g_clear_error(&error);
}
END_TEST

/* A message with one field damaged, and what the error must say; NULL: nothing. */
static void expect(EepWireType type, gsize offset, guint32 value, const char *what)
{
    g_autoptr(GByteArray) bytes = encoded(type);
    EepWireMessage message;
    GError *error = NULL;

    for (guint i = 0; i < 4; i++)
        bytes->data[EEP_WIRE_HEADER_BYTES + offset + i] = (guint8)(value >> 8 * i);
    if (what == NULL) {
        ck_assert(eep_wire_decode(bytes->data, bytes->len, &message, &error));
        eep_wire_clear(&message);
        return;
    }
    ck_assert(!eep_wire_decode(bytes->data, bytes->len, &message, &error));
    ck_assert_msg(strstr(error->message, what) != NULL, "%s", error->message);
    g_clear_error(&error);
}

START_TEST(test_bounds)
{
    expect(EEP_WIRE_POPULARITY, 0, EEP_WIRE_MAX_LAYERS, "layer is out of bounds");
    expect(EEP_WIRE_POPULARITY, 4, 1000000, "more elements than allowed or sent");
    expect(EEP_WIRE_POPULARITY, 4, 7, "more elements than allowed or sent");
    expect(EEP_WIRE_POPULARITY, 4, 5, "bytes are left over");
    expect(EEP_WIRE_MAP, 12, 4, "n_slots is no multiple of n_ranks");
    expect(EEP_WIRE_MAP, 12, 0, "n_ranks is out of bounds");
    expect(EEP_WIRE_PHASE, 32, 9, "rank is not below n_ranks");
    expect(EEP_WIRE_PHASE, 36, 2, "a route's rank is not below n_ranks");
    expect(EEP_WIRE_PHASE, 44, 1, "a group cannot grow and shrink");
    expect(EEP_WIRE_PHASE, 48, 13, "left_out does not leave n_ranks");
    expect(EEP_WIRE_PHASE, 52, 0x0881, NULL);
    expect(EEP_WIRE_PHASE, 52, 0x0880, "left_out does not leave n_ranks");
    expect(EEP_WIRE_FAULT, 0, EEP_FAULT_KIND_COUNT + 1, "kind is out of bounds");
    expect(EEP_WIRE_FAULT, 8, 0x7ff80000, "factor is out of bounds");
    expect(EEP_WIRE_DONE, 12, EEP_DONE_COUNT, "done is out of bounds");
    expect(EEP_WIRE_READ_LOAD, 12, 0xffffffff, "from_step is after to_step");
    expect(EEP_WIRE_MEASURE, 12, EEP_MEASURE_COUNT, "kind is out of bounds");
    expect(EEP_WIRE_MEASURE, 20, 0x10, "size is out of bounds");
    expect(EEP_WIRE_MEASURE, 44, 0, "n_samples is out of bounds");
    expect(EEP_WIRE_MEASURED, 8, EEP_MEASURE_MAX_SAMPLES + 1, "more elements than allowed");
}
END_TEST

static gsize bytes_of(const EepWireField *field, const guint8 *at)
{
    switch (field->kind) {
    case EEP_WIRE_FIELD_U32:
    case EEP_WIRE_FIELD_F32:
        return 4;
    case EEP_WIRE_FIELD_U64:
    case EEP_WIRE_FIELD_F64:
        return 8;
    case EEP_WIRE_FIELD_TEXT:
        return 2 + at[0] + 256 * (gsize)at[1];
    case EEP_WIRE_FIELD_BYTES:
        return field->size;
    default:
        return 4; /* the count; elements are looked at by themselves */
    }
}

/* The message with so many bytes of it set to a number is refused, and the field is named. */
static void expect_refused(EepWireType type, const EepWireField *field, gsize at, guint64 number)
{
    g_autoptr(GByteArray) bytes = encoded(type);
    g_autofree char *says = g_strdup_printf("%s is out of bounds", field->name);
    gsize n = field->kind == EEP_WIRE_FIELD_U64 ? 8 : 4;
    EepWireMessage message;
    GError *error = NULL;

    for (gsize i = 0; i < n; i++)
        bytes->data[at + i] = (guint8)(number >> 8 * i);
    ck_assert_msg(!eep_wire_decode(bytes->data, bytes->len, &message, &error),
                  "%s: %s may be %" G_GUINT64_FORMAT, eep_wire_layouts[type].name, field->name,
                  number);
    ck_assert_msg(strstr(error->message, says) != NULL, "%s: %s", field->name, error->message);
    g_clear_error(&error);
}

/* Number fields that have a bound, of the message or of the first element of its array. */
static guint expect_bounds(EepWireType type, const EepWireField *fields, const guint8 *data,
                           gsize at)
{
    guint n = 0;

    for (const EepWireField *field = fields; field->name != NULL; field++) {
        gboolean is_wide = field->kind == EEP_WIRE_FIELD_U64;

        if (is_wide || field->kind == EEP_WIRE_FIELD_U32) {
            if (field->max < (is_wide ? G_MAXUINT64 : G_MAXUINT32)) {
                expect_refused(type, field, at, field->max + 1);
                expect_refused(type, field, at, is_wide ? G_MAXUINT64 : G_MAXUINT32 - 2);
                n++;
            }
            if (field->min > 0)
                expect_refused(type, field, at, field->min - 1);
        }
        at += bytes_of(field, data + at);
        if (field->kind == EEP_WIRE_FIELD_ARRAY) {
            n += expect_bounds(type, field->elements, data, at);
            break; /* what comes last */
        }
    }
    return n;
}

/* Every number of every message; and of the sizes that memory is taken by, that there is a bound.
 */
START_TEST(test_every_bound)
{
    guint n = 0;

    for (guint type = EEP_WIRE_HELLO; type < EEP_WIRE_TYPE_END; type++) {
        g_autoptr(GByteArray) bytes = encoded((EepWireType)type);

        n += expect_bounds((EepWireType)type, eep_wire_layouts[type].fields, bytes->data,
                           EEP_WIRE_HEADER_BYTES);
    }
    ck_assert_uint_ge(n, 60);
    for (const EepWireField *field = eep_wire_layouts[EEP_WIRE_WELCOME].fields; field->name;
         field++)
        if (g_str_has_prefix(field->name, "model.") && strcmp(field->name, "model.seed") != 0)
            ck_assert_msg(field->max <= G_GUINT64_CONSTANT(1) << 48, "%s is not bounded",
                          field->name);
}
END_TEST

START_TEST(test_measures_have_a_size)
{
    static const struct {
        EepMeasureKind kind;
        guint64 size;
        guint32 side;
        const char *what; /* NULL: fine */
    } cases[] = {
        {EEP_MEASURE_KERNEL, 0, 0, NULL},
        {EEP_MEASURE_ALL_TO_ALL, 8, 0, NULL},
        {EEP_MEASURE_ALL_TO_ALL, 0, 8, "size is 0"},
        {EEP_MEASURE_GEMM, 0, 8, NULL},
        {EEP_MEASURE_GEMM, 8, 0, "a matrix has no elements"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GByteArray) out = g_byte_array_new();
        guint32 side = cases[i].side;
        EepWireMessage message = {.type = EEP_WIRE_MEASURE,
                                  .measure = {.op = 1,
                                              .epoch = 1,
                                              .kind = cases[i].kind,
                                              .size = cases[i].size,
                                              .n_groups = side,
                                              .n_rows = side,
                                              .n = side,
                                              .k = side,
                                              .n_samples = 1,
                                              .n_each = 1}};
        EepWireMessage back;
        GError *error = NULL;

        eep_wire_encode(&message, out);
        ck_assert_int_eq(eep_wire_decode(out->data, out->len, &back, &error),
                         cases[i].what == NULL);
        if (error != NULL)
            ck_assert_msg(strstr(error->message, cases[i].what) != NULL, "%s", error->message);
        g_clear_error(&error);
    }
}
END_TEST

START_TEST(test_none_is_allowed_where_it_means_something)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    EepWireTransfer transfers[] = {{EEP_TRANSFER_FROM_DISK, 1, 2, 3, 0, 0},
                                   {EEP_TRANSFER_FROM_HOST, 1, 2, 3, 1, 0}};
    EepWireMessage message = {
        .type = EEP_WIRE_MOVE,
        .move = {.op = 1, .epoch = 1, .n_transfers = 2, .transfers = transfers}};
    EepWireMessage back;

    eep_wire_encode(&message, out);
    ck_assert(eep_wire_decode(out->data, out->len, &back, NULL));
    ck_assert_uint_eq(back.move.transfers[0].from, EEP_TRANSFER_FROM_DISK);
    ck_assert_uint_eq(back.move.transfers[1].from, EEP_TRANSFER_FROM_HOST);
    eep_wire_clear(&back);
}
END_TEST

START_TEST(test_foreign_bytes)
{
    static const char *const garbage[] = {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02",
                                          "SSH-2.0-x"};
    gsize bytes;

    for (guint i = 0; i < G_N_ELEMENTS(garbage); i++) {
        guint8 data[24] = {0};
        GError *error = NULL;

        memcpy(data, garbage[i], strlen(garbage[i]));
        data[5] |= 0x80; /* whatever was there, no type is that high */
        ck_assert(!eep_wire_frame(data, sizeof data, &bytes, &error));
        ck_assert(g_error_matches(error, EEP_WIRE_ERROR, EEP_WIRE_ERROR_GARBAGE));
        g_clear_error(&error);
    }
}
END_TEST

START_TEST(test_length_is_bounded_by_the_type)
{
    guint8 data[] = {0xff, 0xff, 0xff, 0x7f, EEP_WIRE_HELLO, 0, 0, 0};
    GError *error = NULL;
    gsize bytes;

    ck_assert(!eep_wire_frame(data, sizeof data, &bytes, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "longer than any"));
    g_clear_error(&error);
}
END_TEST

START_TEST(test_text_is_cut_and_cleaned)
{
    g_autoptr(GByteArray) out = g_byte_array_new();
    EepWireMessage message = {.type = EEP_WIRE_BYE}, back;

    memset(message.bye.reason, 'x', sizeof message.bye.reason);
    memcpy(message.bye.reason, "\033[2J", 4);
    eep_wire_encode(&message, out);
    ck_assert(eep_wire_decode(out->data, out->len, &back, NULL));
    ck_assert_uint_eq(strlen(back.bye.reason), sizeof message.bye.reason - 1);
    ck_assert(g_str_has_prefix(back.bye.reason, "?[2Jx"));
}
END_TEST

START_TEST(test_token)
{
    g_autofree char *hex = g_strnfill(2 * EEP_WIRE_TOKEN_BYTES, 'a');
    char token[EEP_WIRE_TOKEN_BYTES] = {0};

    memcpy(hex, "09ff", 4);
    ck_assert(eep_wire_parse_token(hex, token));
    ck_assert_uint_eq((guint8)token[0], 0x09);
    ck_assert_uint_eq((guint8)token[1], 0xff);
    ck_assert_uint_eq((guint8)token[EEP_WIRE_TOKEN_BYTES - 1], 0xaa);
    ck_assert(eep_wire_parse_token(hex, NULL));
    hex[5] = 'A';
    ck_assert(!eep_wire_parse_token(hex, token));
    hex[5] = '\0';
    ck_assert(!eep_wire_parse_token(hex, token));
    ck_assert(!eep_wire_parse_token("", token));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("wire");
    TCase *messages = tcase_create("messages"), *damage = tcase_create("damage");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_loop_test(messages, test_there_and_back, 1, EEP_WIRE_TYPE_END);
    tcase_add_test(messages, test_layout_on_the_wire);
    tcase_add_test(messages, test_none_is_allowed_where_it_means_something);
    tcase_add_test(messages, test_text_is_cut_and_cleaned);
    tcase_add_test(messages, test_token);
    tcase_add_loop_test(damage, test_cut_anywhere, 1, EEP_WIRE_TYPE_END);
    tcase_add_loop_test(damage, test_one_byte_too_many, 1, EEP_WIRE_TYPE_END);
    tcase_add_test(damage, test_bounds);
    tcase_add_test(damage, test_every_bound);
    tcase_add_test(damage, test_measures_have_a_size);
    tcase_add_test(damage, test_foreign_bytes);
    tcase_add_test(damage, test_length_is_bounded_by_the_type);
    suite_add_tcase(suite, messages);
    suite_add_tcase(suite, damage);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
