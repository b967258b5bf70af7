// offline - what the tests of deploy/ need of Helm and Terraform, without either
//
//	offline render CHART RELEASE NAMESPACE <VALUES   the chart's manifests, with VALUES (JSON or YAML) over values.yaml
//	offline values CHART <VALUES                     those merged values alone, as JSON (for values.schema.json)
//	offline hcl FILE...                              what HCL's own parser sees in Terraform files, as JSON
//
// Templates run in the engine that Helm uses (text/template and sprig), with Helm's own functions written here: include,
// tpl, required, toYaml, fromYaml, toJson, lookup. Not there: subcharts, hooks, Files, API versions of a cluster.
// Stricter than Helm: a value that does not exist is an error, where Helm prints nothing.
//
// Debian's packages hold all that it imports; tools/deploy-offline.sh builds it.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"sigs.k8s.io/yaml"
)

type object = map[string]interface{}

// ---- charts ----

func readYaml(path string) (object, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out := object{}
	return out, yaml.UnmarshalStrict(text, &out)
}

// over lays b over a: maps are merged, null removes, anything else replaces.
func over(a, b object) object {
	out := object{}
	for k, v := range a {
		out[k] = v
	}
	for k, v := range b {
		if v == nil {
			delete(out, k)
			continue
		}
		below, isMap := out[k].(object)
		above, isMapToo := v.(object)
		if isMap && isMapToo {
			v = over(below, above)
		}
		out[k] = v
	}
	return out
}

func mergedValues(chart string, in io.Reader) (object, error) {
	defaults, err := readYaml(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	given := object{}
	if err := yaml.UnmarshalStrict(text, &given); err != nil {
		return nil, err
	}
	return over(defaults, given), nil
}

func toYaml(v interface{}) (string, error) {
	text, err := yaml.Marshal(v)
	return strings.TrimSuffix(string(text), "\n"), err
}

func fromYaml(text string) (object, error) {
	out := object{}
	return out, yaml.Unmarshal([]byte(text), &out)
}

func functions(t *template.Template) template.FuncMap {
	f := sprig.TxtFuncMap()
	delete(f, "env") // as Helm does: no secrets of the machine that renders
	delete(f, "expandenv")
	f["toYaml"] = toYaml
	f["fromYaml"] = fromYaml
	f["include"] = func(name string, data interface{}) (string, error) {
		var out strings.Builder
		err := t.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}
	f["tpl"] = func(text string, data interface{}) (string, error) {
		clone, err := t.Clone()
		if err != nil {
			return "", err
		}
		if clone, err = clone.New("tpl").Parse(text); err != nil {
			return "", err
		}
		var out strings.Builder
		err = clone.Execute(&out, data)
		return out.String(), err
	}
	f["required"] = func(why string, v interface{}) (interface{}, error) {
		if v == nil || v == "" {
			return v, errors.New(why)
		}
		return v, nil
	}
	f["lookup"] = func(...string) object { return object{} }
	return f
}

func capitals(in object) object {
	out := object{}
	for k, v := range in {
		out[strings.ToUpper(k[:1])+k[1:]] = v
	}
	return out
}

func render(chart, release, namespace string, in io.Reader) error {
	values, err := mergedValues(chart, in)
	if err != nil {
		return err
	}
	about, err := readYaml(filepath.Join(chart, "Chart.yaml"))
	if err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	if err != nil {
		return err
	}
	sort.Strings(files)
	t := template.New("chart").Option("missingkey=error")
	t.Funcs(functions(t))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := t.New(filepath.Base(file)).Parse(string(text)); err != nil {
			return err
		}
	}
	data := object{
		"Values":  values,
		"Chart":   capitals(about),
		"Release": object{"Name": release, "Namespace": namespace, "Service": "Helm", "IsInstall": true, "IsUpgrade": false},
	}
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasPrefix(name, "_") {
			continue
		}
		var out strings.Builder
		if err := t.ExecuteTemplate(&out, name, data); err != nil {
			return err
		}
		if strings.Contains(out.String(), "<no value>") {
			return fmt.Errorf("%s: <no value>", name)
		}
		if name == "NOTES.txt" || strings.TrimSpace(out.String()) == "" {
			continue // rendered all the same: it may fail
		}
		fmt.Printf("---\n# Source: %s/templates/%s\n%s\n", about["name"], name, strings.TrimSpace(out.String()))
	}
	return nil
}

// ---- HCL ----

type block struct {
	File       string   `json:"file"`
	Line       int      `json:"line"`
	Type       string   `json:"type"`
	Labels     []string `json:"labels"`
	Attributes object   `json:"attributes"` // name -> source text
	Blocks     []block  `json:"blocks"`
	References []string `json:"references"` // var.x, local.y, aws_z.w, data.a.b ... of the whole block
	Functions  []string `json:"functions"`
}

// Names that an expression brings itself (for, dynamic) are no references to others.
func references(b *hclsyntax.Body, own map[string]bool) []string {
	out := []string{}
	visit := func(traversal hcl.Traversal) {
		var parts []string
		for _, step := range traversal {
			switch s := step.(type) {
			case hcl.TraverseRoot:
				parts = append(parts, s.Name)
			case hcl.TraverseAttr:
				parts = append(parts, s.Name)
			}
		}
		if !own[parts[0]] {
			out = append(out, strings.Join(parts, "."))
		}
	}
	for _, a := range b.Attributes {
		for _, traversal := range a.Expr.Variables() {
			visit(traversal)
		}
	}
	for _, inner := range b.Blocks {
		if inner.Type == "lifecycle" {
			continue // ignore_changes names arguments of the block itself
		}
		if inner.Type == "dynamic" {
			with := map[string]bool{inner.Labels[0]: true}
			for name := range own {
				with[name] = true
			}
			out = append(out, references(inner.Body, with)...)
			continue
		}
		out = append(out, references(inner.Body, own)...)
	}
	return out
}

type calls struct{ names map[string]bool }

func (c *calls) Enter(n hclsyntax.Node) hcl.Diagnostics {
	if call, ok := n.(*hclsyntax.FunctionCallExpr); ok {
		c.names[call.Name] = true
	}
	return nil
}
func (c *calls) Exit(hclsyntax.Node) hcl.Diagnostics { return nil }

func functionsOf(b *hclsyntax.Body) []string {
	c := &calls{map[string]bool{}}
	_ = hclsyntax.Walk(b, c)
	out := []string{}
	for name := range c.names {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

func describe(b *hclsyntax.Block, file string, source []byte) block {
	out := block{File: file, Line: b.DefRange().Start.Line, Type: b.Type, Labels: b.Labels, Attributes: object{},
		Blocks: []block{}, References: references(b.Body, map[string]bool{"each": true, "count": true, "self": true, "path": true}),
		Functions: functionsOf(b.Body)}
	for name, a := range b.Body.Attributes {
		out.Attributes[name] = string(a.Expr.Range().SliceBytes(source))
	}
	for _, inner := range b.Body.Blocks {
		out.Blocks = append(out.Blocks, describe(inner, file, source))
	}
	return out
}

func parseHcl(files []string) error {
	parser := hclparse.NewParser()
	all := []block{}
	for _, file := range files {
		parsed, diags := parser.ParseHCLFile(file)
		if diags.HasErrors() {
			return diags
		}
		for _, b := range parsed.Body.(*hclsyntax.Body).Blocks {
			all = append(all, describe(b, filepath.Base(file), parsed.Bytes))
		}
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}

func run(args []string) error {
	switch {
	case len(args) == 4 && args[0] == "render":
		return render(args[1], args[2], args[3], os.Stdin)
	case len(args) == 2 && args[0] == "values":
		values, err := mergedValues(args[1], os.Stdin)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(values)
	case len(args) > 1 && args[0] == "hcl":
		return parseHcl(args[1:])
	}
	return errors.New("see the head of main.go")
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "offline:", err)
		os.Exit(1)
	}
}
