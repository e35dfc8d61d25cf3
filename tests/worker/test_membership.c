/* Who leaves a group waits for the others while they come, and for nobody twice; a group that is
 * made again is not waited for at all. On communicators that note what is done to them. */
#include <check.h>
#include <stdlib.h>

#include "gpu/worker/membership.h"

typedef struct {
    EepComm base;
    GString *log; /* borrowed */
    char name;    /* in the order of joining, from a */
} Comm;

typedef struct {
    EepTransport base;
    GString *log;
    char next;
    gboolean nobody_comes;
    const gint *stop; /* what leave() was handed last */
} Transport;

static void note(EepComm *base, char what)
{
    const Comm *comm = (const Comm *)base;

    g_string_append_printf(comm->log, "%c%c ", what, comm->name);
}

static void comm_abort(EepComm *base)
{
    note(base, 'x');
}

static gboolean comm_leave(EepComm *base, const gint *stop)
{
    Transport *transport = (Transport *)base->transport;

    note(base, '-');
    transport->stop = stop;
    g_free(base);
    return !transport->nobody_comes;
}

static const EepCommOps comm_ops = {
    .size = sizeof(EepCommOps), .abort = comm_abort, .leave = comm_leave};

static gboolean make_id(EepTransport *self, EepCommId *ret_id, GError **error)
{
    *ret_id = (EepCommId){0};
    return TRUE;
}

static EepComm *join(EepTransport *base, const EepCommId *id, guint rank, guint n_ranks,
                     gint64 wait_ns, const gint *stop, GError **error)
{
    Transport *self = (Transport *)base;
    Comm *comm = g_new0(Comm, 1);

    comm->base = (EepComm){.ops = &comm_ops, .transport = base, .rank = rank, .n_ranks = n_ranks};
    comm->log = self->log;
    comm->name = self->next++;
    return &comm->base;
}

static const EepTransportOps transport_ops = {
    .size = sizeof(EepTransportOps), .name = "noted", .make_id = make_id, .join = join};

static Transport transport;
static EepMembers *members;
static const gint no_stop;

static void setup(void)
{
    transport = (Transport){.base = {&transport_ops}, .log = g_string_new(NULL), .next = 'a'};
    members = eep_members_new(&transport.base, &no_stop);
}

static void teardown(void)
{
    eep_members_free(members);
    g_string_free(transport.log, TRUE);
}

static void tell(gpointer self, const EepWireGroupId *id)
{
}

static void join_epoch(guint32 epoch)
{
    EepWirePhase phase = {.op = epoch, .target_epoch = epoch, .n_ranks = 2};

    ck_assert(eep_members_join(members, &phase, 1000000000, &no_stop, tell, NULL, NULL));
}

static void expect(const char *log)
{
    ck_assert_str_eq(transport.log->str, log);
    g_string_truncate(transport.log, 0);
}

/* Its members join the new one, or are gone: nobody is there to leave it with. */
START_TEST(a_group_made_again_is_not_waited_for)
{
    join_epoch(1);
    join_epoch(2);
    expect("");
    join_epoch(2);
    expect("xc xd -c -d ");
}
END_TEST

START_TEST(retired_groups_are_left_in_good_order)
{
    for (guint epoch = 1; epoch <= 3; epoch++)
        join_epoch(epoch);
    eep_members_retire(members, 2, TRUE, &no_stop);
    expect("-e -f -a -b ");
    ck_assert_ptr_eq(transport.stop, &no_stop);
}
END_TEST

START_TEST(who_does_not_come_is_not_waited_for_again)
{
    for (guint epoch = 1; epoch <= 3; epoch++)
        join_epoch(epoch);
    transport.nobody_comes = TRUE;
    eep_members_retire(members, 2, TRUE, &no_stop);
    expect("-e xf -f xa xb -a xb -b ");
}
END_TEST

START_TEST(the_gone_are_not_waited_for)
{
    join_epoch(1);
    join_epoch(2);
    eep_members_retire(members, 2, FALSE, &no_stop);
    expect("xa xb -a -b ");
}
END_TEST

/* By whoever uses it last. */
START_TEST(a_group_in_use_is_left_later)
{
    EepMembership *group;

    join_epoch(1);
    join_epoch(2);
    group = eep_members_find(members, 1);
    eep_members_retire(members, 2, TRUE, &no_stop);
    expect("");
    ck_assert_ptr_null(eep_members_find(members, 1));
    eep_membership_unref(group);
    expect("-a -b ");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("membership");
    TCase *tcase = tcase_create("membership");
    SRunner *runner;
    int n_failed;

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_group_made_again_is_not_waited_for);
    tcase_add_test(tcase, retired_groups_are_left_in_good_order);
    tcase_add_test(tcase, who_does_not_come_is_not_waited_for_again);
    tcase_add_test(tcase, the_gone_are_not_waited_for);
    tcase_add_test(tcase, a_group_in_use_is_left_later);
    suite_add_tcase(suite, tcase);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
