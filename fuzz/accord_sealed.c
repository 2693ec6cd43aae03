#include "accord_body.h"

FUZZ_ACCORD_BODY(accord_sealed)
