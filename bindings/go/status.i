/*
 * Go's side of the shared interface: what a call answers becomes an error, in
 * the same native call, and a list of tensors is a slice of int64.
 */
%typemap(gotype) tkp_status "error"
%typemap(imtype) tkp_status "string"
%typemap(out, fragment="AllocateString") tkp_status %{
    {
        char line[2048];
        int bytes = 0;
        if ($1 != TKP_OK)
            bytes = snprintf(
                line, sizeof(line), "%d %s", (int)$1, tkp_last_message());
        if (bytes >= (int)sizeof(line))
            bytes = (int)sizeof(line) - 1;
        $result = Swig_AllocateString(line, (size_t)bytes);
    }
%}
%typemap(goout) tkp_status %{
    $result = newError(swigCopyString($1))
%}

%typemap(gotype) (const int64_t *tensors, int64_t n_tensors) "[]int64"
%typemap(in) (const int64_t *tensors, int64_t n_tensors) %{
    $1 = (int64_t *)$input.array;
    $2 = $input.len;
%}
%typemap(gotype) (const char *text, size_t bytes) "string"
%typemap(in) (const char *text, size_t bytes) %{
    $1 = $input.n > 0 ? $input.p : "";
    $2 = (size_t)$input.n;
%}

%insert(go_wrapper) %{
/* What a call failed with: a code of tkp_status and a line. */
type Failure struct {
	Code    int
	Message string
}

func (f *Failure) Error() string { return f.Message }

func newError(text string) error {
	if text == "" {
		return nil
	}
	code, at := 0, 0
	for at < len(text) && text[at] != ' ' {
		code = 10*code + int(text[at]-'0')
		at++
	}
	return &Failure{code, text[min(at+1, len(text)):]}
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}
%}
