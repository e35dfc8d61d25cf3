/* Strangers at the door of a coordinator at work: each is told why not and closed in a bounded
 * time, and the workers' steps go on. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/eplb/placement.h"
#include "gpu/coordinator/door.h"
#include "gpu/wire.h"
#include "gpu/worker/connection.h"
#include "tests/coordinator/coordinator_kit.h"

#define N 2

typedef struct {
    const char *name, *told; /* in the REFUSE */
    void (*say)(const Kit *kit, GByteArray *bytes);
    double limit_s;
} Guest;

static EepWireMessage hello_of(const Kit *kit, guint32 worker)
{
    EepWireMessage message = {.type = EEP_WIRE_HELLO,
                              .hello = {.magic = EEP_WIRE_MAGIC,
                                        .version = EEP_WIRE_VERSION,
                                        .rank = G_MAXUINT32,
                                        .program = "guest",
                                        .host = "there",
                                        .worker = worker,
                                        .device = {.is_emulated = 1, .host_hash = 99}}};

    ck_assert(eep_wire_parse_token(eep_cuda_backend_token(kit->backend), message.hello.token));
    return message;
}

static void says_http(const Kit *kit, GByteArray *bytes)
{
    g_byte_array_append(bytes, (const guint8 *)"GET / HTTP/1.1\r\nHost: here\r\n\r\n", 30);
}

static void comes_twice(const Kit *kit, GByteArray *bytes)
{
    EepWireMessage message = hello_of(kit, 2);

    eep_wire_encode(&message, bytes);
}

static void comes_uncalled(const Kit *kit, GByteArray *bytes)
{
    EepWireMessage message = hello_of(kit, 77);

    eep_wire_encode(&message, bytes);
}

static void has_no_token(const Kit *kit, GByteArray *bytes)
{
    EepWireMessage message = hello_of(kit, 2);

    memset(message.hello.token, 0, sizeof message.hello.token);
    eep_wire_encode(&message, bytes);
}

static void is_of_tomorrow(const Kit *kit, GByteArray *bytes)
{
    EepWireMessage message = hello_of(kit, 2);

    message.hello.version = EEP_WIRE_VERSION + 1;
    eep_wire_encode(&message, bytes);
}

static void speaks_out_of_turn(const Kit *kit, GByteArray *bytes)
{
    EepWireMessage message = {.type = EEP_WIRE_READY};

    eep_wire_encode(&message, bytes);
}

static void add_header(GByteArray *bytes, guint32 length, EepWireType type)
{
    const guint8 header[EEP_WIRE_HEADER_BYTES] = {length & 0xff, length >> 8 & 0xff,
                                                  length >> 16 & 0xff, length >> 24, (guint8)type};

    g_byte_array_append(bytes, header, sizeof header);
}

static void counts_enormously(const Kit *kit, GByteArray *bytes)
{
    add_header(bytes, G_MAXUINT32, EEP_WIRE_HELLO);
}

/* As long as a move of a worker may be, from somebody who is none. */
static void counts_on_trust(const Kit *kit, GByteArray *bytes)
{
    add_header(bytes, 100000, EEP_WIRE_MOVE);
}

static void says_half_of_it(const Kit *kit, GByteArray *bytes)
{
    comes_twice(kit, bytes);
    g_byte_array_set_size(bytes, bytes->len / 2);
}

static void says_nothing(const Kit *kit, GByteArray *bytes)
{
}

static const Guest guests[] = {
    {"garbage", "this is where eep's workers", says_http, 1.0},
    {"twice", "nobody expects a worker 2", comes_twice, 1.0},
    {"uncalled", "nobody expects a worker 77", comes_uncalled, 1.0},
    {"no token", "has no valid token", has_no_token, 1.0},
    {"version", "of the protocol (guest), this coordinator version", is_of_tomorrow, 1.0},
    {"out of turn", "READY before HELLO", speaks_out_of_turn, 1.0},
    {"enormous", "is longer than any", counts_enormously, 1.0},
    {"on trust", "is longer than expected", counts_on_trust, 1.0},
    {"stalls", "no HELLO within 1.5 s", says_half_of_it, 2.5},
    {"silent", "no HELLO within 1.5 s", says_nothing, 2.5},
};

/* Reads what there is, without waiting; FALSE: closed by the other side. */
static gboolean hear(int fd, GByteArray *bytes)
{
    guint8 chunk[1024];
    ssize_t n;

    while ((n = recv(fd, chunk, sizeof chunk, MSG_DONTWAIT)) > 0)
        g_byte_array_append(bytes, chunk, (guint)n);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

static void expect_refusal(const Guest *guest, const GByteArray *heard)
{
    g_autoptr(GError) error = NULL;
    EepWireMessage message;
    gsize bytes;

    ck_assert_msg(eep_wire_frame(heard->data, heard->len, &bytes, &error) &&
                      eep_wire_decode(heard->data, bytes, &message, &error),
                  "%s: heard %u bytes: %s", guest->name, heard->len,
                  error != NULL ? error->message : "");
    ck_assert_uint_eq(message.type, EEP_WIRE_REFUSE);
    ck_assert_msg(strstr(message.refuse.reason, guest->told) != NULL, "%s: %s", guest->name,
                  message.refuse.reason);
    eep_wire_clear(&message);
}

static void step(Kit *kit)
{
    EepOpId id = kit_step(kit);

    ck_assert(kit_wait(kit, kit->completions->len + 1));
    ck_assert_int_eq(kit_whole(kit, id)->done, EEP_DONE_OK);
}

START_TEST(strangers_are_sent_away_and_steps_go_on)
{
    const Guest *guest = &guests[_i];
    g_autoptr(GByteArray) said = g_byte_array_new(), heard = g_byte_array_new();
    Kit *kit = kit_new(N, "");
    g_autoptr(GError) error = NULL;
    gint64 begin;
    int fd;

    kit_use_tcp(kit);
    ck_assert_msg(kit_start(kit, &error), "%s", error != NULL ? error->message : "");
    guest->say(kit, said);
    ck_assert(eep_connection_open(eep_cuda_backend_address(kit->backend), EEP_NS_PER_S, &fd, NULL));
    begin = eep_monotonic_ns();
    ck_assert_int_eq(send(fd, said->data, said->len, MSG_NOSIGNAL), (ssize_t)said->len);
    while (hear(fd, heard) && kit_since(begin) < guest->limit_s + 2)
        step(kit);
    ck_assert_msg(kit_since(begin) < guest->limit_s + 1.2, "%s took %.2f s", guest->name,
                  kit_since(begin));
    expect_refusal(guest, heard);
    ck_assert_msg(strstr(kit->said->str, guest->told) != NULL, "%s: %s", guest->name,
                  kit->said->str);
    ck_assert_uint_eq(eep_cuda_backend_counts(kit->backend).n_refused, 1);
    ck_assert_uint_eq(eep_cuda_backend_counts(kit->backend).n_lost, 0);
    step(kit);
    close(fd);
    kit_free(kit);
}
END_TEST

/* More than the door holds: those behind wait in the kernel, and everybody gets an answer. */
START_TEST(a_crowd_does_not_get_in_the_way)
{
    int fds[EEP_DOOR_MAX_GUESTS + 16];
    Kit *kit = kit_new(N, "");

    kit_use_tcp(kit);
    ck_assert(kit_start(kit, NULL));
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
        ck_assert(eep_connection_open(eep_cuda_backend_address(kit->backend), EEP_NS_PER_S, &fds[i],
                                      NULL));
    for (guint i = 0; i < 20; i++)
        step(kit);
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
        close(fds[i]);
    kit_serve(kit, 200 * EEP_NS_PER_MS);
    ck_assert_uint_eq(eep_cuda_backend_counts(kit->backend).n_refused, G_N_ELEMENTS(fds));
    step(kit);
    kit_free(kit);
}
END_TEST

/* Those who say nothing give way to those behind them, and do not fill the user's screen. */
START_TEST(a_silent_crowd_is_let_through)
{
    int fds[2 * EEP_DOOR_MAX_GUESTS], last;
    g_autoptr(GByteArray) said = g_byte_array_new(), heard = g_byte_array_new();
    g_auto(GStrv) lines = NULL;
    Kit *kit = kit_new(N, "");
    gint64 begin;

    ck_assert(kit_start(kit, NULL));
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++) {
        ck_assert(eep_connection_open(eep_cuda_backend_address(kit->backend), EEP_NS_PER_S, &fds[i],
                                      NULL));
        kit_serve(kit, EEP_NS_PER_MS);
    }
    says_http(kit, said);
    ck_assert(
        eep_connection_open(eep_cuda_backend_address(kit->backend), EEP_NS_PER_S, &last, NULL));
    ck_assert_int_eq(send(last, said->data, said->len, MSG_NOSIGNAL), (ssize_t)said->len);
    begin = eep_monotonic_ns();
    while (hear(last, heard) && heard->len == 0 && kit_since(begin) < 10)
        kit_serve(kit, 10 * EEP_NS_PER_MS);
    ck_assert_double_lt(kit_since(begin), 4.0);
    expect_refusal(&guests[0], heard);
    step(kit);
    lines = g_strsplit(kit->said->str, "\n", -1);
    ck_assert_uint_gt(eep_cuda_backend_counts(kit->backend).n_refused, EEP_DOOR_MAX_GUESTS);
    ck_assert_uint_lt(g_strv_length(lines), EEP_DOOR_MAX_GUESTS);
    close(last);
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
        close(fds[i]);
    kit_free(kit);
}
END_TEST

/* No descriptor is left for whoever comes: nobody is let in, and nobody spins. */
START_TEST(a_process_without_descriptors_waits)
{
    Kit *kit = kit_new(N, "");
    struct rusage before, after;
    struct rlimit limit;
    int guest, held[512], n = 0;
    double busy;

    ck_assert(kit_start(kit, NULL));
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = MIN(limit.rlim_cur, G_N_ELEMENTS(held));
    setrlimit(RLIMIT_NOFILE, &limit);
    ck_assert(
        eep_connection_open(eep_cuda_backend_address(kit->backend), EEP_NS_PER_S, &guest, NULL));
    while (n < (int)G_N_ELEMENTS(held) && (held[n] = dup(guest)) >= 0)
        n++;
    getrusage(RUSAGE_SELF, &before);
    kit_serve(kit, EEP_NS_PER_S);
    getrusage(RUSAGE_SELF, &after);
    busy = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
           (double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
           1e-6 * (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) +
           1e-6 * (double)(after.ru_stime.tv_usec - before.ru_stime.tv_usec);
    ck_assert_double_lt(busy, 0.15);
    step(kit);
    for (int i = 0; i < n; i++)
        close(held[i]);
    close(guest);
    kit_serve(kit, 200 * EEP_NS_PER_MS);
    ck_assert_uint_eq(eep_cuda_backend_counts(kit->backend).n_refused, 1);
    kit_free(kit);
}
END_TEST

/* What is no socket is not ours to remove. */
START_TEST(listens_on_no_file_of_others)
{
    g_autofree char *folder = g_dir_make_tmp("eep-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "notes", NULL);
    g_autofree char *address = g_strconcat("unix:", path, NULL);
    g_autoptr(GError) error = NULL;
    Kit *kit = kit_new(1, "");

    ck_assert(g_file_set_contents(path, "mine", -1, NULL));
    kit->gpu.listen = address;
    ck_assert(!kit_start(kit, &error));
    ck_assert_ptr_nonnull(strstr(error->message, "choose another path"));
    ck_assert(g_file_test(path, G_FILE_TEST_IS_REGULAR));
    kit_free(kit);
    unlink(path);
    rmdir(folder);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda_guests");
    TCase *tcase = tcase_create("cuda_guests");

    tcase_add_loop_test(tcase, strangers_are_sent_away_and_steps_go_on, 0, G_N_ELEMENTS(guests));
    tcase_add_test(tcase, a_crowd_does_not_get_in_the_way);
    tcase_add_test(tcase, a_silent_crowd_is_let_through);
    tcase_add_test(tcase, a_process_without_descriptors_waits);
    tcase_add_test(tcase, listens_on_no_file_of_others);
    tcase_set_timeout(tcase, 30);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
