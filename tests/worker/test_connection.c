/* Addresses, and a coordinator that comes late or never. */
#include <check.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gpu/worker/connection.h"
#include "gpu/worker/worker_options.h"
#include "live/clock_real.h"

#define MS G_GINT64_CONSTANT(1000000)

static int listen_tcp(guint *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, 5), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

START_TEST(test_tcp)
{
    static const char *const hosts[] = {"127.0.0.1", "localhost"};
    GError *error = NULL;
    guint port;
    int listening = listen_tcp(&port);

    for (guint i = 0; i < G_N_ELEMENTS(hosts); i++) {
        g_autofree char *address = g_strdup_printf("%s:%u", hosts[i], port);
        int fd = -1, other;

        ck_assert_msg(eep_connection_open(address, 1000 * MS, &fd, &error), "%s",
                      error ? error->message : "");
        other = accept(listening, NULL, NULL);
        ck_assert_int_eq(send(other, "x", 1, 0), 1);
        close(other);
        close(fd);
    }
    close(listening);
}
END_TEST

START_TEST(test_nobody_there)
{
    gint64 began = eep_monotonic_ns();
    GError *error = NULL;
    guint port;
    int listening = listen_tcp(&port), fd;
    g_autofree char *address = g_strdup_printf("127.0.0.1:%u", port);

    close(listening);
    ck_assert(!eep_connection_open(address, 300 * MS, &fd, &error));
    ck_assert(g_error_matches(error, EEP_WORKER_ERROR, EEP_WORKER_ERROR_LOST));
    ck_assert_ptr_nonnull(strstr(error->message, "no coordinator at 127.0.0.1"));
    ck_assert_int_ge(eep_monotonic_ns() - began, 150 * MS);
    ck_assert_int_lt(eep_monotonic_ns() - began, 5000 * MS);
    g_clear_error(&error);
}
END_TEST

/* A host that takes no connection and says nothing has no longer than is waited for. */
START_TEST(test_no_answer)
{
    gint64 began;
    guint port;
    int listening = listen_tcp(&port), fds[8], fd;
    g_autofree char *address = g_strdup_printf("127.0.0.1:%u", port);
    GError *error = NULL;

    ck_assert_int_eq(listen(listening, 0), 0);
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++) { /* nobody takes them: the queue is full */
        struct sockaddr_in to = {.sin_family = AF_INET,
                                 .sin_port = htons((guint16)port),
                                 .sin_addr = {htonl(INADDR_LOOPBACK)}};

        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)!connect(fds[i], (struct sockaddr *)&to, sizeof to);
    }
    began = eep_monotonic_ns();
    ck_assert(!eep_connection_open(address, 200 * MS, &fd, &error));
    ck_assert(g_error_matches(error, EEP_WORKER_ERROR, EEP_WORKER_ERROR_LOST));
    ck_assert_int_lt(eep_monotonic_ns() - began, 1500 * MS);
    g_clear_error(&error);
    for (guint i = 0; i < G_N_ELEMENTS(fds); i++)
        close(fds[i]);
    close(listening);
}
END_TEST

START_TEST(test_no_address)
{
    static const char *const addresses[] = {
        "", "host", ":80", "host:", "unix:", "unix:@", "host:65536", "127.0.0.1:0", "host:http"};
    GError *error = NULL;
    int fd;

    ck_assert(!eep_connection_open(addresses[_i], 0, &fd, &error));
    ck_assert(g_error_matches(error, EEP_WORKER_ERROR, EEP_WORKER_ERROR_USAGE));
    g_clear_error(&error);
}
END_TEST

START_TEST(test_unix)
{
    static const char *const addresses[] = {"unix:/nonexistent/socket", "unix:@nobody-listens"};
    GError *error = NULL;
    int fd;

    ck_assert(!eep_connection_open(addresses[_i], 0, &fd, &error));
    ck_assert(g_error_matches(error, EEP_WORKER_ERROR, EEP_WORKER_ERROR_LOST));
    g_clear_error(&error);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("connection");
    TCase *ways = tcase_create("ways");
    SRunner *runner = srunner_create(suite);
    int n_failed;

    tcase_add_test(ways, test_tcp);
    tcase_add_test(ways, test_nobody_there);
    tcase_add_test(ways, test_no_answer);
    tcase_add_loop_test(ways, test_no_address, 0, 9);
    tcase_add_loop_test(ways, test_unix, 0, 2);
    suite_add_tcase(suite, ways);
    srunner_run_all(runner, CK_ENV);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}
