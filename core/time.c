#include "core/time.h"

EepTime eep_time_from_seconds(double seconds)
{
    g_return_val_if_fail(seconds == seconds, EEP_TIME_NEVER);

    double ns = seconds * 1e9;
    if (ns <= 0.0)
        return 0;
    /* 2^63 is the first double that gint64 cannot hold. */
    if (ns >= 0x1p63)
        return EEP_TIME_NEVER;

    /* Adding 0.5 before truncating would round 0.49999999999999994 up; the difference is exact. */
    EepTime whole = (EepTime)ns;
    return ns - (double)whole >= 0.5 ? whole + 1 : whole;
}

double eep_time_to_seconds(EepTime time)
{
    return (double)time / 1e9;
}
