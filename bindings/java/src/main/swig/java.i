/*
 * Java's side of the shared interface: what a call answers is thrown in the same
 * native call, texts are UTF-8, and a list of tensors is a long[].
 */
%include "enumsimple.swg"
%include "stdint.i"
%include "typemaps.i"

/* What a call gives is not handed over where it has thrown. */
%typemap(argout) long long *OUTPUT {
    if (!(*jenv)->ExceptionCheck(jenv)) {
        const jlong value = (jlong)temp$argnum;
        (*jenv)->SetLongArrayRegion(jenv, $input, 0, 1, &value);
    }
}

%pragma(java) moduleclassmodifiers="public class"
%apply int64_t { uint64_t };
/* Failures are thrown; Status has the codes. */
%rename("$ignore", regextarget=1, %$isenumitem) "^TKP_(OK|ERR_)";

%{
#include <stdlib.h>
#include <string.h>

#include "flat.h"

static void tkpj_throw(JNIEnv *env, tkp_status status)
{
    const char *line = tkp_last_message();
    const jsize bytes = (jsize)strlen(line);
    jclass type = (*env)->FindClass(
        env, "io/github/tokenprune/TokenPruneException");
    jbyteArray text = (*env)->NewByteArray(env, bytes);
    if (!type || !text)
        return; /* Java has thrown something of its own */
    (*env)->SetByteArrayRegion(env, text, 0, bytes, (const jbyte *)line);
    jmethodID make =
        (*env)->GetStaticMethodID(env, type, "of", "(I[B)Lio/github/tokenprune/TokenPruneException;");
    if (!make)
        return;
    jobject thrown =
        (*env)->CallStaticObjectMethod(env, type, make, (jint)status, text);
    if (!(*env)->ExceptionCheck(env) && thrown)
        (*env)->Throw(env, (jthrowable)thrown);
}

/* A text of Java as C wants it; NULL of null, or where memory is out. */
static char *tkpj_text(JNIEnv *env, jbyteArray bytes)
{
    if (!bytes)
        return NULL;
    const jsize n = (*env)->GetArrayLength(env, bytes);
    char *text = malloc((size_t)n + 1);
    if (!text)
        return NULL;
    (*env)->GetByteArrayRegion(env, bytes, 0, n, (jbyte *)text);
    text[n] = '\0';
    return text;
}

static jbyteArray tkpj_bytes(JNIEnv *env, const char *text)
{
    if (!text)
        return NULL;
    const jsize n = (jsize)strlen(text);
    jbyteArray bytes = (*env)->NewByteArray(env, n);
    if (bytes)
        (*env)->SetByteArrayRegion(env, bytes, 0, n, (const jbyte *)text);
    return bytes;
}
%}

%typemap(jni) tkp_status "void"
%typemap(jtype) tkp_status "void"
%typemap(jstype) tkp_status "void"
%typemap(javaout) tkp_status { $jnicall; }
%typemap(out, null="") tkp_status %{
    if ($1 != TKP_OK)
        tkpj_throw(jenv, $1);
%}

%typemap(jni) const char * "jbyteArray"
%typemap(jtype) const char * "byte[]"
%typemap(jstype) const char * "String"
%typemap(javain) const char * "io.github.tokenprune.internal.Texts.bytes($javainput)"
%typemap(javaout) const char * { return io.github.tokenprune.internal.Texts.of($jnicall); }
%typemap(in) const char * %{ $1 = tkpj_text(jenv, $input); %}
%typemap(freearg) const char * %{ free((char *)$1); %}
%typemap(argout) const char * ""
%typemap(out) const char * %{ $result = tkpj_bytes(jenv, $1); %}
%apply const char * { char *flat_policy_yaml };
%typemap(newfree) char *flat_policy_yaml "free($1);"

%typemap(jni) (const int64_t *tensors, int64_t n_tensors) "jlongArray"
%typemap(jtype) (const int64_t *tensors, int64_t n_tensors) "long[]"
%typemap(jstype) (const int64_t *tensors, int64_t n_tensors) "long[]"
%typemap(javain) (const int64_t *tensors, int64_t n_tensors) "$javainput"
%typemap(in) (const int64_t *tensors, int64_t n_tensors)
    (int64_t room[FLAT_RECORD * FLAT_MAX_TENSORS]) %{
    $1 = room;
    $2 = $input ? (*jenv)->GetArrayLength(jenv, $input) : 0;
    if ($2 > 0 && $2 <= FLAT_RECORD * FLAT_MAX_TENSORS)
        (*jenv)->GetLongArrayRegion(jenv, $input, 0, (jsize)$2, (jlong *)room);
%}
%typemap(argout) (const int64_t *tensors, int64_t n_tensors) ""
%typemap(freearg) (const int64_t *tensors, int64_t n_tensors) ""
%apply (char *STRING, size_t LENGTH) { (const char *text, size_t bytes) };

/* Where a direct buffer lies; 0 of others. */
%typemap(jni) void *BUFFER "jobject"
%typemap(jtype) void *BUFFER "java.nio.Buffer"
%typemap(jstype) void *BUFFER "java.nio.Buffer"
%typemap(javain) void *BUFFER "$javainput"
%typemap(in) void *BUFFER %{ $1 = (*jenv)->GetDirectBufferAddress(jenv, $input); %}
%typemap(freearg) void *BUFFER ""
