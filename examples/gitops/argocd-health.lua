-- Argo CD's health of every kind in imagefactory.dev: Tenant, Project, Build, QuarantineRequest and all others.
-- Healthy: it is what its spec asks for. Progressing: not seen yet, waits, works or tries again.
-- Degraded: it failed, and nothing more happens without a change by a person.
local status = obj.status or {}
if status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "Not seen by the operator yet"}
end
local is = {}
for _, condition in ipairs(status.conditions or {}) do
  if condition.status == "True" then
    is[condition.type] = condition
  elseif condition.type == "Ready" then
    is.waiting = condition
  end
end
if is.Stalled then
  return {status = "Degraded", message = is.Stalled.message}
elseif is.Reconciling then
  return {status = "Progressing", message = is.Reconciling.message}
elseif is.Ready then
  return {status = "Healthy", message = is.Ready.message}
end
return {status = "Progressing", message = (is.waiting or {}).message or "No condition Ready yet"}
