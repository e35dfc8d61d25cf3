#include "core/predictor.h"

void eep_predictor_free(EepPredictor *predictor)
{
    if (predictor)
        predictor->ops->free(predictor);
}
