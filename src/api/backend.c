/*
 * Public entry points for people who write backends.
 */

#include "tokenprune/sys/backend.h"

#include "core/core.h"
#include "tokenprune/sys/base.h"

tkp_status tkp_backend_register(const tkp_backend_vtable *vtable)
{
    tkp_sys_message_clear();
    TKP__CHECK(vtable, TKP_ERR_ARGUMENT, "vtable: is NULL");
    return tkp__core_registry_add(vtable);
}

/* No message is emptied below: these are called by backends in the middle of
 * their work, and one of them may be on its way out of a failure. */

tkp_status
tkp_sys_ledger_book(tkp_ledger *ledger, uint64_t bytes, uint64_t *offset_out)
{
    TKP__CHECK(ledger, TKP_ERR_ARGUMENT, "ledger: is NULL");
    return tkp__ledger_book(ledger, bytes, offset_out);
}

int32_t tkp_sys_disabled(const char *name)
{
    return name && tkp__core_disabled(name) ? 1 : 0;
}
