#include "core/timeline.h"

typedef struct {
    EepTime at;
    guint n_engines;
} Size;

typedef struct {
    GArray *buckets; /* EepTimelineBucket */
    GArray *sizes;   /* Size, ascending in time */
} Pool;

struct EepTimeline {
    EepTime bucket;
    GArray *pools; /* Pool */
};

static void clear_pool(gpointer data)
{
    Pool *pool = data;

    g_array_free(pool->buckets, TRUE);
    g_array_free(pool->sizes, TRUE);
}

EepTimeline *eep_timeline_new(EepTime bucket)
{
    g_return_val_if_fail(bucket > 0, NULL);
    EepTimeline *timeline = g_new0(EepTimeline, 1);

    timeline->bucket = bucket;
    timeline->pools = g_array_new(FALSE, TRUE, sizeof(Pool));
    g_array_set_clear_func(timeline->pools, clear_pool);
    return timeline;
}

void eep_timeline_free(EepTimeline *timeline)
{
    if (timeline == NULL)
        return;
    g_array_free(timeline->pools, TRUE);
    g_free(timeline);
}

static Pool *get_pool(EepTimeline *timeline, EepPoolId id)
{
    while (timeline->pools->len <= id) {
        Pool pool = {g_array_new(FALSE, TRUE, sizeof(EepTimelineBucket)),
                     g_array_new(FALSE, FALSE, sizeof(Size))};
        g_array_append_val(timeline->pools, pool);
    }
    return &g_array_index(timeline->pools, Pool, id);
}

static inline EepTimelineBucket *get_bucket(EepTimeline *timeline, Pool *pool, EepTime at)
{
    gsize index = (gsize)MIN(MAX(at, 0) / timeline->bucket, EEP_TIMELINE_MAX_BUCKETS - 1);

    if (index >= pool->buckets->len)
        g_array_set_size(pool->buckets, (guint)index + 1);
    return &g_array_index(pool->buckets, EepTimelineBucket, index);
}

void eep_timeline_add_step(EepTimeline *timeline, const EepStepRecord *step)
{
    Pool *pool = get_pool(timeline, step->pool);
    EepTimelineBucket *bucket = get_bucket(timeline, pool, step->end);
    double length = (double)(step->end - step->begin);

    if (pool->sizes->len == 0) {
        Size size = {0, step->n_engines};
        g_array_append_val(pool->sizes, size);
    }
    bucket->n_steps++;
    bucket->n_prefill_tokens += step->n_prefill_tokens;
    bucket->n_decode_tokens += step->n_decodes;
    bucket->step_ns += length;
    bucket->running += step->n_running * length;
    bucket->waiting += step->n_waiting * length;
    bucket->kv_usage += step->kv_usage * length;
    if (step->imbalance > 0.0) {
        double tokens = (double)(step->n_prefill_tokens + step->n_decodes);
        bucket->expert_tokens += tokens;
        bucket->expert_load += tokens * step->imbalance;
    }
}

void eep_timeline_add_gap(EepTimeline *timeline, EepPoolId pool, EepTime now, EepTime gap)
{
    EepTimelineBucket *bucket = get_bucket(timeline, get_pool(timeline, pool), now);

    bucket->max_gap = MAX(bucket->max_gap, gap);
}

void eep_timeline_add_size(EepTimeline *timeline, EepPoolId id, EepTime now, guint n_engines)
{
    Size size = {now, n_engines};

    g_array_append_val(get_pool(timeline, id)->sizes, size);
}

guint eep_timeline_n_pools(const EepTimeline *timeline)
{
    return timeline->pools->len;
}

static const Pool *find_pool(const EepTimeline *timeline, EepPoolId id)
{
    return id < timeline->pools->len ? &g_array_index(timeline->pools, Pool, id) : NULL;
}

const EepTimelineBucket *eep_timeline_bucket(const EepTimeline *timeline, EepPoolId id, gsize index)
{
    const Pool *pool = find_pool(timeline, id);

    if (pool == NULL || index >= pool->buckets->len)
        return NULL;
    return &g_array_index(pool->buckets, EepTimelineBucket, index);
}

guint eep_timeline_size(const EepTimeline *timeline, EepPoolId id, EepTime at)
{
    const Pool *pool = find_pool(timeline, id);
    guint low = 0, high = pool ? pool->sizes->len : 0;

    while (low < high) { /* the first change after `at` */
        guint middle = (low + high) / 2;
        if (g_array_index(pool->sizes, Size, middle).at <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? g_array_index(pool->sizes, Size, low - 1).n_engines : 0;
}

EepTime eep_timeline_max_gap(const EepTimeline *timeline, EepPoolId pool, EepTime from, EepTime to)
{
    EepTime longest = 0;
    const EepTimelineBucket *bucket;

    for (gsize i = (gsize)(MAX(from, 0) / timeline->bucket);
         (EepTime)i <= to / timeline->bucket &&
         (bucket = eep_timeline_bucket(timeline, pool, i)) != NULL;
         i++)
        longest = MAX(longest, bucket->max_gap);
    return longest;
}

static gsize n_buckets(const EepTimeline *timeline)
{
    gsize n = 0;

    for (guint id = 0; id < timeline->pools->len; id++)
        n = MAX(n, g_array_index(timeline->pools, Pool, id).buckets->len);
    return n;
}

gboolean eep_timeline_balancedness(const EepTimeline *timeline, EepTime from, EepTime to,
                                   double *ret_mean, double *ret_worst_minute)
{
    double tokens = 0.0, load = 0.0, worst = 1.0;
    double minute_tokens = 0.0, minute_load = 0.0;
    EepTime minute = -1;

    for (gsize i = 0; i < n_buckets(timeline); i++) {
        EepTime begin = (EepTime)i * timeline->bucket;
        if (begin < from || begin >= to)
            continue;
        if (begin / (60 * EEP_NS_PER_S) != minute) {
            minute = begin / (60 * EEP_NS_PER_S);
            minute_tokens = minute_load = 0.0;
        }
        for (guint id = 0; id < timeline->pools->len; id++) {
            const EepTimelineBucket *bucket = eep_timeline_bucket(timeline, id, i);
            minute_tokens += bucket ? bucket->expert_tokens : 0.0;
            minute_load += bucket ? bucket->expert_load : 0.0;
            tokens += bucket ? bucket->expert_tokens : 0.0;
            load += bucket ? bucket->expert_load : 0.0;
        }
        EepTime next = begin + timeline->bucket;
        gboolean is_last = next >= to || next / (60 * EEP_NS_PER_S) != minute;
        if (is_last && minute_load > 0.0)
            worst = MIN(worst, minute_tokens / minute_load);
    }
    /* A minute may also end with the last bucket told. */
    if (minute_load > 0.0)
        worst = MIN(worst, minute_tokens / minute_load);
    if (load == 0.0)
        return FALSE;
    *ret_mean = tokens / load;
    *ret_worst_minute = worst;
    return TRUE;
}
