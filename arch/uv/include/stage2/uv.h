/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A software Ultravisor: protected pages in the manner of s390, on any machine.
 *
 * In front is the architected interface: an Ultravisor call (UVC) names a control block in memory,
 * and is answered with a condition code, a return code and a reason code. Behind it are the pages:
 *
 *   NONE       the guest has never had the page; its first import gives it a page of zeros
 *   SECURE     the guest's, at one host page; the host cannot read it
 *   EXPORTED   the host has a sealed page; tag and version of the seal are here, with the
 *              Ultravisor, so that only the newest seal for this very address is ever taken back
 *   SHARED     the guest shows it to the host
 *   PINNED     shared, and the host has asked to be told before that ends
 *
 * A host page belongs to one guest page at a time, or to the Ultravisor ("donated"), or to the host.
 *
 *   configuration, handle   a protected guest, and the number that names it; never used twice
 *   gaddr                   a guest address; an s2_gpa_t where it is an argument of a function
 *   donated storage         host memory that the Ultravisor takes for a configuration or a CPU. This
 *                           one keeps nothing in it (its own memory comes from struct s2_env), but
 *                           hides it, and clears it when it goes back
 *
 * Context: one call at a time for a struct s2_uv, queries included; the embedder brings the lock.
 * Callbacks run under it and must not call back. Who finds the lock taken need not wait: "busy",
 * S2_UVC_CC_BUSY, is the architected answer, and callers know what to do with it.
 *
 * Sources of the codes: [L] Linux 7.3, arch/s390/include/asm/uv.h and kernel/uv.c; [T] what
 * kvm-unit-tests, s390x/uv-host.c and uv-guest.c, sees real machines answer; [Z] s390-tools' and
 * QEMU's messages. Where no public source names the machine's code, the number is ours, above
 * 0x7f00.
 */
#ifndef STAGE2_UV_H
#define STAGE2_UV_H

#include <stage2/env.h>
#include <stage2/err.h>
#include <stage2/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The answer of a UVC: the condition code [L], */
#define S2_UVC_CC_OK 0
#define S2_UVC_CC_ERROR 1   /* see return code and reason code; nothing was changed */
#define S2_UVC_CC_BUSY 2    /* nothing was done: try again */
#define S2_UVC_CC_PARTIAL 3 /* a part was done: the same call again goes on from there */

/*
 * or, below 0, that the instruction was not executed and what is to happen instead. Those of a guest
 * are for its host, which puts things right and lets the guest issue the call again.
 */
#define S2_UVC_ADDRESSING (-0x05)   /* program exception: the block is not all there */
#define S2_UVC_TRANSLATION (-0x11)  /* host: map the page that the block names */
#define S2_UVC_NON_SECURE (-0x3e)   /* host: import the page that the block names */
#define S2_UVC_VIOLATION (-0x3f)    /* host: another's page is mapped there */
#define S2_UVC_NOTIFICATION (-0x6c) /* host: unpin the page that the block names */

/* Commands [L]. */
#define S2_UVC_QUERY 0x0001
#define S2_UVC_INIT 0x000f
#define S2_UVC_CREATE_CONF 0x0100
#define S2_UVC_DESTROY_CONF 0x0101
#define S2_UVC_DESTROY_CONF_FAST 0x0102
#define S2_UVC_CREATE_CPU 0x0120
#define S2_UVC_DESTROY_CPU 0x0121
#define S2_UVC_IMPORT 0x0200  /* convert to secure storage */
#define S2_UVC_EXPORT 0x0201  /* convert from secure storage */
#define S2_UVC_DESTROY 0x0202 /* destroy secure storage: clear a page and give it back */
#define S2_UVC_SET_PARAMS 0x0300
#define S2_UVC_UNPACK 0x0301
#define S2_UVC_VERIFY 0x0302
#define S2_UVC_CPU_SET_STATE 0x0330
#define S2_UVC_UNSHARE_ALL 0x0340
#define S2_UVC_PIN 0x0341
#define S2_UVC_UNPIN 0x0342
#define S2_UVC_SHARE 0x1000   /* the guest's: set shared access */
#define S2_UVC_UNSHARE 0x1001 /* the guest's: remove shared access */

/* Return codes of all commands: [L], handles [T]. */
#define S2_UVC_RC_EXECUTED 0x0001
#define S2_UVC_RC_INV_CMD 0x0002   /* unknown, not built, or not for this caller */
#define S2_UVC_RC_INV_STATE 0x0003 /* not initialised, or not now */
#define S2_UVC_RC_INV_LEN 0x0005
#define S2_UVC_RC_NO_RESUME 0x0007 /* another command is half-way and alone can go on */
#define S2_UVC_RC_INV_CONF 0x0020
#define S2_UVC_RC_INV_CPU 0x0021
#define S2_UVC_RC_MORE_DATA 0x0100    /* query: there is more than the block holds */
#define S2_UVC_RC_NEED_DESTROY 0x8000 /* beside another; this one never leaves such a thing */

/* Return codes of one command. */
#define S2_UVC_RC_INIT_TWICE 0x0101	 /* [T] */
#define S2_UVC_RC_INIT_LEN 0x0103	 /* [T] */
#define S2_UVC_RC_INIT_ORIGIN 0x0104	 /* [T] */
#define S2_UVC_RC_INIT_END 0x0105	 /* [T] */
#define S2_UVC_RC_INIT_LOW 0x0108	 /* [T] */
#define S2_UVC_RC_CONF_ORIGIN 0x0101	 /* [T] guest storage begins too high */
#define S2_UVC_RC_CONF_LEN 0x0102	 /* [T] guest storage ends too high */
#define S2_UVC_RC_CONF_ASCE 0x0105	 /* [T] */
#define S2_UVC_RC_CONF_BASE 0x0108	 /* [T] base storage is not memory */
#define S2_UVC_RC_CONF_BASE_LOW 0x0109	 /* [T] base storage is the lowcore */
#define S2_UVC_RC_CONF_NO_SCA 0x010c	 /* [T] */
#define S2_UVC_RC_CONF_SCA 0x010d	 /* [T] not memory */
#define S2_UVC_RC_CONF_VIRT_LOW 0x010e	 /* [T] variable storage is the lowcore */
#define S2_UVC_RC_CPU_NUMBER 0x0103	 /* [T] */
#define S2_UVC_RC_CPU_DEFINED 0x0104	 /* [T] */
#define S2_UVC_RC_CPU_STORAGE 0x0105	 /* [T] */
#define S2_UVC_RC_CPU_STORAGE_LOW 0x0106 /* [T] */
#define S2_UVC_RC_CPU_STATE 0x0107	 /* [T] the state description is not memory */
#define S2_UVC_RC_PARAMS_ACCESS 0x0103	 /* [T] */
#define S2_UVC_RC_PARAMS_VERSION 0x0104	 /* [Z] reason 1 */
#define S2_UVC_RC_PARAMS_FLAGS 0x0106	 /* [Z] reason 0x30 */
#define S2_UVC_RC_PARAMS_KEY 0x0108	 /* [Z] reason 5: made for another host, or damaged */
#define S2_UVC_RC_PARAMS_CORRUPT 0x010a	 /* [Z] reason 0x31: length */
#define S2_UVC_RC_VERIFY 0x0102		 /* [Z] reason: what does not match */
#define S2_UVC_RC_NOT_MAPPED 0x010a	 /* [L] import, unpack: nothing is mapped at gaddr */
#define S2_UVC_RC_GADDR 0x0101		 /* [T] for share; outside the guest's storage */

#define S2_UVC_RRC_VERIFY_ADDRESSES 0x001a /* [Z] */
#define S2_UVC_RRC_VERIFY_PAGES 0x001b	   /* [Z] */
#define S2_UVC_RRC_VERIFY_TWEAKS 0x001c	   /* [Z] */
#define S2_UVC_RRC_VERIFY_COUNT 0x001d	   /* [Z] */

/* Ours. */
#define S2_UVC_RC_ALIGN 0x7f01 /* an address is not a multiple of what it must be */
#define S2_UVC_RC_OWNED 0x7f02 /* the host page is somebody's already */
#define S2_UVC_RC_SEAL 0x7f03  /* not the page that was exported: changed, moved or replayed */
#define S2_UVC_RC_NOT_SHARED 0x7f04
#define S2_UVC_RC_NOT_PINNED 0x7f05
#define S2_UVC_RC_STORAGE 0x7f06  /* not memory, or donated */
#define S2_UVC_RC_RESIDENT 0x7f07 /* the guest page is there, at another host page */
#define S2_UVC_RC_NOMEM 0x7f08	/* the Ultravisor's own memory, or its environment, is at an end */
#define S2_UVC_RC_CIPHER 0x7f09 /* the cipher or the source of randomness failed */
#define S2_UVC_RC_IN_USE 0x7f0a /* destroy: secure CPUs exist */
#define S2_UVC_RC_SHARED 0x7f0b /* import: the guest shows this page, there is nothing to import */
#define S2_UVC_RC_LIMIT 0x7f0c	/* no more configurations */
#define S2_UVC_RC_ASCE_USED 0x7f0d /* another configuration has this ASCE */
#define S2_UVC_RC_CPU_ORDER 0x7f0e /* set state: no such state */

/*
 * Control blocks [L]: big-endian on every machine, a multiple of 8 bytes. Offsets of the fields; the
 * length of a command's block is s2_uvc_len().
 */
#define S2_UVCB_LEN 0x00
#define S2_UVCB_CMD 0x02
#define S2_UVCB_RC 0x04
#define S2_UVCB_RRC 0x06
#define S2_UVCB_HANDLE 0x18	 /* configuration, of all but the following; CPU in CPU commands */
#define S2_UVCB_PADDR 0x18	 /* EXPORT, DESTROY, PIN: the host page */
#define S2_UVCB_GADDR 0x20	 /* IMPORT, UNPACK, UNPIN, SHARE, UNSHARE */
#define S2_UVCB_TWEAK 0x28	 /* UNPACK: 16 bytes */
#define S2_UVCB_HEADER 0x20	 /* SET_PARAMS: host-virtual */
#define S2_UVCB_HEADER_LEN 0x28	 /* SET_PARAMS: 4 bytes */
#define S2_UVCB_INIT_ORIGIN 0x18 /* INIT */
#define S2_UVCB_INIT_LEN 0x20	 /* INIT */
#define S2_UVCB_CONF_BASE 0x20	 /* CREATE_CONF; handle is an output */
#define S2_UVCB_CONF_VIRT 0x28	 /* CREATE_CONF: host-virtual */
#define S2_UVCB_CONF_FLAGS 0x36	 /* CREATE_CONF: 2 bytes */
#define S2_UVCB_CONF_ORIGIN 0x38 /* CREATE_CONF: guest storage */
#define S2_UVCB_CONF_LEN 0x40	 /* CREATE_CONF */
#define S2_UVCB_CONF_SCA 0x48	 /* CREATE_CONF */
#define S2_UVCB_CONF_ASCE 0x50	 /* CREATE_CONF */
#define S2_UVCB_CPU_CONF 0x20	 /* CREATE_CPU: the configuration; handle is an output */
#define S2_UVCB_CPU_STORAGE 0x28 /* CREATE_CPU */
#define S2_UVCB_CPU_NUMBER 0x36	 /* CREATE_CPU: 2 bytes */
#define S2_UVCB_CPU_STATE 0x38	 /* CREATE_CPU: the state description */
#define S2_UVCB_CPU_ORDER 0x27	 /* CPU_SET_STATE: 1 byte */
#define S2_UVCB_QUERY_CALLS 0x10 /* QUERY: bit n, from the left, says that a command is there */
#define S2_UVCB_QUERY_BASE 0x40	 /* QUERY: length of the storage for INIT */
#define S2_UVCB_QUERY_CONF_BASE 0x50
#define S2_UVCB_QUERY_CONF_VIRT 0x58
#define S2_UVCB_QUERY_CONF_VAR 0x60 /* for each MiB of guest storage, besides CONF_VIRT */
#define S2_UVCB_QUERY_CPU 0x68
#define S2_UVCB_QUERY_CONF_MAX 0x7c  /* 4 bytes */
#define S2_UVCB_QUERY_GUEST_MAX 0x80 /* the last address that guest storage may have */
#define S2_UVCB_QUERY_CPU_MAX 0x9e   /* 2 bytes: the highest number of a CPU */
#define S2_UVCB_QUERY_FEATURES 0xa0
#define S2_UVCB_QUERY_HEADERS 0xb0 /* versions of image headers */
#define S2_UVCB_BYTES 0x120	   /* the longest block */

#define S2_UV_CPU_OPERATING 1
#define S2_UV_CPU_STOPPED 2
#define S2_UV_CPU_CHECK_STOP 3
#define S2_UV_CPU_LOAD 5 /* operating, from the image's start: only after VERIFY */

/* A block to fill in. */
union s2_uvcb {
	uint64_t align; /* blocks begin at a multiple of 8 */
	uint8_t byte[S2_UVCB_BYTES];
};

static inline uint64_t s2_uvcb_get(const void *block, size_t offset, size_t bytes)
{
	const uint8_t *byte = (const uint8_t *)block + offset;
	uint64_t value = 0;

	for (size_t i = 0; i < bytes; i++) {
		value = value << 8 | byte[i];
	}
	return value;
}

static inline void s2_uvcb_put(void *block, size_t offset, size_t bytes, uint64_t value)
{
	uint8_t *byte = (uint8_t *)block + offset;

	for (size_t i = bytes; i-- > 0; value >>= 8) {
		byte[i] = (uint8_t)value;
	}
}

static inline uint64_t s2_uvcb_get64(const void *block, size_t offset)
{
	return s2_uvcb_get(block, offset, 8);
}

static inline void s2_uvcb_put64(void *block, size_t offset, uint64_t value)
{
	s2_uvcb_put(block, offset, 8, value);
}

/* The length of a command's control block; 0 if there is no such command. */
uint16_t s2_uvc_len(uint16_t cmd);

/* All of a block to 0, then its length and command. */
void s2_uvcb_begin(union s2_uvcb *block, uint16_t cmd);

/* What a cipher says to a sealed page. */
enum s2_uv_seal {
	S2_UV_GOOD = 0,
	S2_UV_FORGED = 1, /* not what was sealed with this key, address, version and tag */
	S2_UV_FAILED = 2, /* the cipher itself could not work */
};

#define S2_UV_KEY_BYTES 32
#define S2_UV_TAG_BYTES 16
#define S2_UV_IMAGE_KEY_BYTES 64
#define S2_UV_DIGEST_BYTES 32

/*
 * The cipher, from the embedder. It must bind all four: contents, address, version, key.
 *
 * A version is never given twice to seal() with the same key, whatever the address, so that a cipher
 * that needs a nonce has one. in and out are pages that do not overlap. out need not be written, and
 * is not used, if the answer is not S2_UV_GOOD.
 */
struct s2_uv_cipher {
	enum s2_uv_seal (*seal)(void *cookie, const uint8_t *key, uint64_t gpa, uint64_t version,
				const void *in, void *out, uint8_t *tag);
	enum s2_uv_seal (*open)(void *cookie, const uint8_t *key, uint64_t gpa, uint64_t version,
				const void *in, void *out, const uint8_t *tag);
	/*
	 * For images, or both NULL; then there are no SET_PARAMS, UNPACK and VERIFY. image: a page
	 * with a key of 64 bytes and a tweak of 16, there and back, without a tag. digest: *state
	 * becomes the digest of itself and the data, that nobody can find two of.
	 */
	bool (*image)(void *cookie, const uint8_t *key, const uint8_t *tweak, bool encrypt,
		      const void *in, void *out);
	bool (*digest)(void *cookie, uint8_t *state, const void *data, size_t len);
	void *cookie;
};

/* The machine around the Ultravisor. All but hide, show and inject are needed. */
struct s2_uv_ops {
	/* The 4096 bytes at hpa, readable and writable until the call returns; NULL if there is
	 * no memory. */
	void *(*page)(void *cookie, s2_hpa_t hpa);
	/*
	 * Which host page is mapped at addr in an address space: asce as CREATE_CONF gave it, for
	 * guests; 0 for the host's own (host-virtual addresses in blocks). False: none.
	 */
	bool (*walk)(void *cookie, uint64_t asce, uint64_t addr, s2_hpa_t *hpa);
	/*
	 * From here on the host cannot reach the page, until show(). False: could not, nothing is
	 * changed. NULL: the embedder asks s2_uv_host_access() at each access, or trusts the host;
	 * then a host that writes while a page is imported may get what it wrote into the guest.
	 */
	bool (*hide)(void *cookie, s2_hpa_t hpa);
	void (*show)(void *cookie, s2_hpa_t hpa);
	bool (*random)(void *cookie, void *out, size_t len);
	/*
	 * Faults on purpose, asked before each command that is well formed: S2_UVC_CC_OK to go on; BUSY;
	 * ERROR, with *rc and *rrc; PARTIAL: a command with parts does one of them, others nothing.
	 */
	int (*inject)(void *cookie, uint16_t cmd, uint16_t *rc, uint16_t *rrc);
};

/*
 * A fault at the n-th call, for inject() to be built on: the first skip calls of cmd (0: of any command)
 * go on, the next count of them get cc, rc and rrc.
 */
struct s2_uv_nth {
	uint64_t skip;
	uint64_t count;
	uint16_t cmd;
	int cc;
	uint16_t rc;
	uint16_t rrc;
};

int s2_uv_nth(struct s2_uv_nth *nth, uint16_t cmd, uint16_t *rc, uint16_t *rrc);

/* Zero in a member means its default. */
struct s2_uv_config {
	struct s2_env env;
	const struct s2_uv_ops *ops;
	void *cookie; /* of ops */
	const struct s2_uv_cipher *cipher;
	const uint8_t *host_key; /* 32 bytes, for image headers; NULL: random */
	s2_hpa_t memory_start; /* host memory: a multiple of 1 MiB; both must outlive the object */
	uint64_t memory_len;   /* a multiple of 1 MiB, not 0 */
	uint64_t guest_max;    /* the last address of guest storage; 0: 2^42 - 1 */
	uint64_t init_min; /* the lowest address of the storage for INIT (real machines: 2 GiB) */
	uint64_t lowcore_len; /* from address 0 on, never donated (s390: 8 KiB) */
	uint32_t conf_max;    /* 0: 64; at most 65535 */
	uint16_t cpu_max;     /* the highest number of a CPU; 0: 247 */
	uint32_t budget;      /* pages that a command with parts does in one call; 0: 256 */
};

/* How often what was done, since init. */
struct s2_uv_count {
	uint64_t calls;
	uint64_t cc[4]; /* of them, by condition code; interceptions are not in it */
	uint64_t imports;
	uint64_t exports;
	uint64_t first_imports; /* pages of zeros; counted in imports, too */
	uint64_t unpacked;
	uint64_t shares;
	uint64_t unshares;
	uint64_t pins;
	uint64_t unpins;
	uint64_t cleared; /* pages that were secure or donated */
	uint64_t refused; /* imports: S2_UVC_RC_SEAL */
};

/* Public size, private contents. */
struct s2_uv {
	struct s2_uv_config config;
	const struct s2_uv_cipher *cipher;
	struct s2_uv_conf **conf;   /* conf_max */
	struct s2_uv_frame **frame; /* a MiB of host memory each, made when needed */
	uint64_t frame_count;
	uint64_t generation; /* of handles */
	uint64_t *init_page; /* donated with INIT */
	uint64_t init_count;
	void *scratch; /* a page */
	uint8_t host_key[S2_UV_KEY_BYTES];
	struct s2_uv_count count;
};

/*
 * Owns memory until s2_uv_fini(). Fails: S2_ERR_INVAL, S2_ERR_ALIGN, S2_ERR_WRAP for the config;
 * S2_ERR_NOMEM, also if there is no randomness. Then *uv needs no fini.
 */
S2_NODISCARD enum s2_err s2_uv_init(struct s2_uv *uv, const struct s2_uv_config *config);

/* Clears and gives back all pages that are secure or donated; forgets all keys. Cannot fail. */
void s2_uv_fini(struct s2_uv *uv);

/*
 * The Ultravisor call. guest: 0 if the host issued it, else the handle of the guest that did. block: the
 * control block, of which size bytes can be read and written; the length that it states is checked
 * first, so that an embedder may bring 8 bytes, see S2_UVC_ADDRESSING, and bring the rest.
 *
 * Returns a condition code or one of the values below 0. The block is written with codes 0 and 1 only.
 */
int s2_uvc(struct s2_uv *uv, uint64_t guest, void *block, size_t size);

/*
 * May an access go on? 0, or the program interruption code that the machine would have presented: 0x3d
 * secure storage access, 0x3e non-secure storage access (import it), 0x3f secure storage violation.
 * s2_uv_guest_access() is told where the page is that the guest is about to use, and remembers that of
 * a shared page.
 */
int s2_uv_host_access(const struct s2_uv *uv, s2_hpa_t hpa);
int s2_uv_guest_access(struct s2_uv *uv, uint64_t handle, s2_gpa_t gpa, s2_hpa_t hpa);

enum s2_uv_state {
	S2_UV_NONE = 0,
	S2_UV_SECURE = 1,
	S2_UV_SHARED = 2,
	S2_UV_PINNED = 3,
	S2_UV_EXPORTED = 4,
};

/* State of a guest page; NONE if there is no such page. For tests and for counting. */
enum s2_uv_state s2_uv_state(const struct s2_uv *uv, uint64_t handle, s2_gpa_t gpa);

struct s2_uv_count s2_uv_count(const struct s2_uv *uv);

/* Verifies what must hold between host pages and guest pages. O(memory). For tests. */
bool s2_uv_check(const struct s2_uv *uv);

/*
 * Making an image for SET_PARAMS, UNPACK and VERIFY. Pages are unpacked in the order in which they
 * were added. The format of the header is ours: the real one is made with the public key of a machine,
 * this one with host_key, which whoever makes images has to know.
 */
#define S2_UV_HEADER_BYTES 8192

struct s2_uv_image {
	uint8_t key[S2_UV_IMAGE_KEY_BYTES];
	uint64_t pages;
	uint8_t addresses[S2_UV_DIGEST_BYTES];
	uint8_t contents[S2_UV_DIGEST_BYTES];
	uint8_t tweaks[S2_UV_DIGEST_BYTES];
};

void s2_uv_image_begin(struct s2_uv_image *image, const uint8_t *key);
/* Encrypts one page. False if the cipher failed; then the image is as before. */
S2_NODISCARD bool s2_uv_image_add(struct s2_uv_image *image, const struct s2_uv_cipher *cipher,
				  s2_gpa_t gpa, const uint64_t tweak[2], const void *plain,
				  void *packed);
/* The header, 8192 bytes. id: never the same for two images with one host_key. False: cipher. */
S2_NODISCARD bool s2_uv_image_header(const struct s2_uv_image *image,
				     const struct s2_uv_cipher *cipher, const uint8_t *host_key,
				     uint64_t id, void *header);

#ifdef __cplusplus
}
#endif
#endif
