/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef METAL_S390_SEAL_H
#define METAL_S390_SEAL_H

#include <stage2/uv.h>

/* What the Ultravisor seals pages with: needs cpacf_has_sha512(). */
extern const struct s2_uv_cipher seal_cipher;

#endif
