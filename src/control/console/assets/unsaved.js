// Forms whose content would be lost: whether there is one, so that nothing is left without asking.
// A form that saves has the mark `data-unsaved`; it is taken off once its content is saved or given up.

/** Whether some form holds what was entered and not saved. */
export function isUnsaved() {
  return [...document.querySelectorAll("form[data-unsaved]")].some((form) => [...form.elements].some(isEntered));
}

/** Where a change is kept is no content. */
function isEntered(input) {
  if (input.name === "keep") return false;
  if (input instanceof HTMLSelectElement) {
    const standard = [...input.options].findIndex((option) => option.defaultSelected);
    return input.selectedIndex !== Math.max(0, standard);
  }
  if (input.type === "checkbox" || input.type === "radio") return input.checked !== input.defaultChecked;
  return "defaultValue" in input && input.value !== input.defaultValue;
}

/** The content of a form is saved, or given up. */
export function settle(form) {
  form.removeAttribute("data-unsaved");
}
