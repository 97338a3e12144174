//go:build poll_opt

package reactor

// The tag poll_opt changes the signatures of gnet's poller. The next line doesn't
// compile, on purpose: its name is the message.
var _ = the_build_tag_poll_opt_is_not_supported_by_sluice_build_without_it
