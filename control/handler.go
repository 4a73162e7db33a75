package control

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// prefix begins every path, so that a later, incompatible form can live beside it.
const prefix = "/v1"

// A View makes one document when asked for it. It may be called from several goroutines.
type View = func(ctx context.Context) (any, error)

// index is the answer to GET /v1.
type index struct {
	Views []string `json:"views"`
}

// failure is the body of every error.
type failure struct {
	Error string `json:"error"`
}

// Handler answers GET /v1/NAME with the document of views[NAME].
func Handler(views map[string]View) http.Handler {
	names := slices.Sorted(maps.Keys(views))
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+prefix, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, index{names})
	})
	mux.HandleFunc("GET "+prefix+"/{view}", func(w http.ResponseWriter, r *http.Request) {
		view, ok := views[r.PathValue("view")]
		if !ok {
			reply(w, http.StatusNotFound, failure{fmt.Sprintf("no view %q: there are %s", r.PathValue("view"), strings.Join(names, ", "))})
			return
		}
		doc, err := view(r.Context())
		if err != nil {
			reply(w, http.StatusInternalServerError, failure{err.Error()})
			return
		}
		reply(w, http.StatusOK, doc)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusNotFound, failure{fmt.Sprintf("%s %q: only GET %s/VIEW is answered", r.Method, r.URL.Path, prefix)})
	})
	return mux
}

// reply encodes first and sends then, so that an encoding error is still an error for the client.
func reply(w http.ResponseWriter, code int, doc any) {
	body, err := json.Marshal(doc)
	if err != nil {
		code = http.StatusInternalServerError
		body, _ = json.Marshal(failure{err.Error()}) // a string always encodes
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // the client has gone: nobody to tell
}
