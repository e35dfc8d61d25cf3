# Out of preprocessed CUDA, cuBLAS and NCCL headers: every function that returns a status, declared
# again so that gcc refuses to drop it (a cast to void does not silence gcc).
# cc -E -P ... | awk -f must_check.awk
BEGIN { RS = ";" }
{
    gsub(/[ \t\r\n]+/, " ")
    if (match($0, /(cudaError_t|cublasStatus_t|ncclResult_t) [A-Za-z0-9_ ]*\(/) == 0) next
    text = substr($0, RSTART)
    # One declaration: no body, no pointer to a function as a whole, no pointer returned.
    if (text ~ /[{}]/ || text ~ /^[A-Za-z_]+ \(/ || text ~ /^[A-Za-z_]+ \*/) next
    name = text
    sub(/\(.*/, "", name)
    n = split(name, words, " ")
    name = words[n]
    if (name ~ /GetErrorString|GetErrorName|GetLastError$|PeekAtLastError/ && name !~ /^cuda/) next
    if (seen[name]++) next
    status = words[1]
    sub(/^[^(]*/, "", text)
    if (text ~ /^ ?\( ?\)/) text = "(void)"
    print status " " name text " __attribute__((warn_unused_result));"
}
